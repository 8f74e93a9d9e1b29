"""What a session logs, and what `ss3d logs` shows of it and of attempts."""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path

import pytest
from study_records import put_result, put_spec
from test_board import make_space
from typer.testing import CliRunner, Result

from ss3d.cli import logs
from ss3d.cli.main import app
from ss3d.errors import CheckpointError, ConfigError, ServiceError
from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.store.lease import take_lease
from ss3d.study.log_lines import LogLines
from ss3d.study.session_log import SessionLog
from ss3d.trial.log import read_lines
from ss3d.trial.records import TrialSpec

LEASE = layout.study("x", "driver.lease")
FIRST, SECOND = "begins on a node", "semi epoch 1: val/cd_l1 9.0"


class AwayStore(DirectoryStore):
    """A store that can be away."""

    is_away = False

    def put_file(self, key: str, path: Path) -> str:
        if self.is_away:
            raise ServiceError("the store is away")
        return super().put_file(key, path)


@pytest.fixture
def store(tmp_path: Path) -> AwayStore:
    store = AwayStore(tmp_path / "store")
    store.put_new(layout.study("x", "study.json"), b'{"schema":1}')
    return store


@pytest.fixture
def spec(store: AwayStore) -> TrialSpec:
    return put_spec(store, "x", make_space(), 0)


def put_log(store: AwayStore, folder: str, attempt: int, *messages: str) -> None:
    """Write a log, or all of it again with more lines, as the uploader does."""
    lines = LogLines({"study": "x", "trial": "t00000", "attempt": attempt})
    for message in messages:
        lines.tell(message)
    file = Path(store.address).parent / "log"
    file.write_text(lines.text())
    store.put_file(f"{folder}/log/{layout.attempt_log(attempt)}", file)


def ss3d(store: AwayStore, *words: str) -> Result:
    arguments = ["logs", *words, "--store", store.address]
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def told(result: Result) -> list[str]:
    """Return the messages that were printed, without time and level."""
    return [line[28:] for line in result.stdout.splitlines()]


def test_a_session_writes_what_ss3d_logs_and_warnings_of_others(store: AwayStore) -> None:
    for number in (1, 2):
        session = SessionLog(store, "x")
        session.start()
        logging.getLogger("ss3d.any").info("proposed", extra={"facts": {"trial": "t00003"}})
        logging.getLogger("other").info("of no interest")
        logging.getLogger("other").warning("slow")
        session.close()
        logging.getLogger("ss3d.any").info("after its end")
        lines = read_lines(store, layout.session_log("x", number))
        assert [(line["level"], line["message"]) for line in lines] == [
            ("info", "proposed"),
            ("warning", "slow"),
        ]
        assert (lines[0]["study"], lines[0]["trial"]) == ("x", "t00003")
    assert told(ss3d(store, "x", "--attempt", "1")) == ["proposed", "slow"]


def test_a_session_goes_on_without_a_log_while_the_store_is_away(
    store: AwayStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ss3d.study.session_log._PERIOD_S", 0.01)
    store.is_away = True
    session = SessionLog(store, "x")
    session.start()
    logging.getLogger("ss3d.any").info("one")
    threading.Event().wait(0.1)
    store.is_away = False
    session.close()
    assert session.failure is None
    assert [line["message"] for line in read_lines(store, layout.session_log("x", 1))] == ["one"]


def test_nothing_that_is_logged_ends_who_logs_it(
    store: AwayStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's own would end a test worker
    session = SessionLog(store, "x")
    session.start()
    logging.getLogger("other").warning("a file's name in Latin-1: \udce9")
    session.close()
    assert session.failure is None
    lines = read_lines(store, layout.session_log("x", 1))
    assert [line["message"] for line in lines] == ["a file's name in Latin-1: \udce9"]
    unsuited = LogLines({})
    args = ("half of the",)
    unsuited.handle(logging.LogRecord("other", logging.INFO, "", 0, "%d files", args, None))
    assert json.loads(unsuited.text())["message"] == "%d files ('half of the',)"


def test_what_only_says_where_a_secret_is_may_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY_TOKEN_PATH", "/where/it/is")
    monkeypatch.setenv("CANARY_TOKEN_PATHS", "not-quite-a-path")
    lines = LogLines({})
    lines.tell("/where/it/is not-quite-a-path")
    assert json.loads(lines.text())["message"] == "/where/it/is ***"


def test_the_newest_attempt_is_shown_or_the_one_that_is_asked_for(
    store: AwayStore, spec: TrialSpec
) -> None:
    folder = layout.trial("x", spec.trial)
    put_log(store, folder, 9, FIRST)
    put_log(store, folder, 10, FIRST, SECOND)
    assert told(ss3d(store, "x/t00000")) == [FIRST, SECOND]
    assert told(ss3d(store, "x/t00000", "--attempt", "9")) == [FIRST]
    (line,) = json.loads(ss3d(store, "x/t00000", "--attempt", "9", "--json").stdout)
    assert (line["trial"], line["attempt"], line["message"]) == ("t00000", 9, FIRST)
    with pytest.raises(ConfigError, match="got 3, there are: 9, 10"):
        ss3d(store, "x/t00000", "--attempt", "3")


def test_a_trial_without_an_attempt_shows_what_pretrains_for_it(
    store: AwayStore, spec: TrialSpec
) -> None:
    assert told(ss3d(store, "x/t00000")) == []
    put_log(store, layout.pretrain(spec.pretrain_key), 1, "pretrains")
    assert told(ss3d(store, "x/t00000")) == ["pretrains"]
    put_log(store, layout.trial("x", spec.trial), 1, FIRST)
    assert told(ss3d(store, "x/t00000")) == [FIRST]


def test_following_ends_with_the_trial_and_tells_each_line_once(
    store: AwayStore, spec: TrialSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_POLL_S", 0.01)
    folder, results = layout.trial("x", spec.trial), list[Result]()
    put_log(store, folder, 1, FIRST)
    with take_lease(store, LEASE, "x"):
        words = ("x/t00000", "--follow", "--json")
        thread = threading.Thread(target=lambda: results.append(ss3d(store, *words)))
        thread.start()
        threading.Event().wait(0.1)
        lines = read_lines(store, f"{folder}/log/{layout.attempt_log(1)}")
        more = LogLines({"attempt": 1})
        more.tell(SECOND)
        file = Path(store.address).parent / "more"
        file.write_text("".join(f"{json.dumps(line)}\n" for line in lines) + more.text())
        store.put_file(f"{folder}/log/{layout.attempt_log(1)}", file)
        threading.Event().wait(0.1)
        put_log(store, folder, 2, "goes on")  # elsewhere, after its node was lost
        threading.Event().wait(0.1)
        assert thread.is_alive()
        put_result(store, spec, 1)
        thread.join(10)
    (result,) = results
    messages = [json.loads(line)["message"] for line in result.stdout.splitlines()]
    assert messages == [FIRST, SECOND, "goes on"]


def test_following_a_study_that_nobody_runs_shows_what_there_is(store: AwayStore) -> None:
    assert told(ss3d(store, "x", "-f")) == []


@pytest.mark.parametrize("text", [b'{"time', b"[]"])
def test_a_damaged_log_is_named(store: AwayStore, spec: TrialSpec, text: bytes) -> None:
    store.put_new(f"{layout.trial('x', spec.trial)}/log/{layout.attempt_log(1)}", text)
    with pytest.raises(CheckpointError, match=r"t00000/log/a1\.jsonl is damaged"):
        ss3d(store, "x/t00000")
