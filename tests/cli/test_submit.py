"""`ss3d search --submit`: what is sent, what is refused. A real cluster is in tests/chaos."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from ss3d.cli.main import app
from ss3d.cli.submit import say_outcome
from ss3d.errors import ConfigError, RefusedError, ServiceError, Ss3dError
from ss3d.study import job_server
from ss3d.study.environment import prepare_environment
from ss3d.study.expected import check_expected, versions_to_expect
from ss3d.study.job_server import JobServer, Outcome, _Told, entrypoint, pack

ROOT = Path(__file__).parents[2]
SPACE = ROOT / "search_spaces" / "quickstart.toml"
NOBODY = "http://127.0.0.1:9"
CANARY = "canary-token-of-the-cluster"


@pytest.fixture(autouse=True)
def _no_ray_in_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(("RAY_", "SS3D_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")  # whatever is set by the test goes after it
    monkeypatch.setenv("RAY_AUTH_TOKEN", CANARY)


def search(*words: str) -> Result:
    return CliRunner().invoke(app, ["search", *words], catch_exceptions=False)


def test_the_code_and_the_space_are_sent_and_nothing_else(tmp_path: Path) -> None:
    pack(tmp_path / "sent", SPACE)
    sent = {path.relative_to(tmp_path / "sent").as_posix(): path.read_bytes()
            for path in (tmp_path / "sent").rglob("*") if path.is_file()}  # fmt: skip
    assert sent.pop("space.toml") == SPACE.read_bytes()
    assert json.loads(sent.pop("versions.json")) == versions_to_expect()
    code = ROOT / "ss3d"
    assert sent == {
        path.relative_to(ROOT).as_posix(): path.read_bytes() for path in code.rglob("*.py")
    }


def test_the_shell_reads_what_was_given_whatever_it_is() -> None:
    options = ["--data", "s3://b/it's $HOME", "--name", "x"]
    command = entrypoint(options, has_space=True)
    search = shlex.split(command.rpartition(" && exec ")[2])
    assert search[:5] == ["python", "-m", "ss3d", "search", "$code/space.toml"]
    assert search[5:] == [*options, "--address", "auto", "--home", "."]
    assert "space.toml" not in entrypoint(options, has_space=False)


def test_versions_are_compared_but_for_the_build() -> None:
    here = versions_to_expect()
    check_expected(here)
    assert not any("+" in version for version in here.values())
    with pytest.raises(RefusedError, match=r"torch [\d.]+, expected 1\.0; install the same"):
        check_expected(here | {"torch": "1.0"})
    with pytest.raises(RefusedError, match="unknown None, expected 1"):
        check_expected({"unknown": "1"})


@given(st.lists(st.text(min_size=1)), st.lists(st.integers(0, 30)))
def test_what_comes_again_after_a_broken_connection_is_told_once(
    chunks: list[str], breaks: list[int]
) -> None:
    said: list[str] = []
    told = _Told(said.append)
    whole = "".join(chunks)
    for end in breaks:  # so far the output was this long
        told.rewind()
        told.take(whole[:end])
    told.rewind()
    for chunk in chunks:
        told.take(chunk)
    assert "".join(said) == whole


class JobDetails(NamedTuple):
    status: str
    driver_exit_code: int
    message: str


class Breaking:
    """Answers as the Jobs API does, and loses connections."""

    def __init__(self, breaks: int) -> None:
        self._breaks = breaks

    async def tail_job_logs(self, job: str) -> AsyncIterator[str]:
        if self._breaks < 0:
            raise aiohttp.ClientError("nobody is there any more")
        for line in ("one\n", "two\n"):
            await asyncio.sleep(0.1)
            yield line
        self._breaks -= 1
        if self._breaks >= 0:
            raise aiohttp.ClientError("connection lost")

    def get_job_info(self, job: str) -> JobDetails:
        return JobDetails("SUCCEEDED", 0, "")


def follow(client: Breaking, say: Callable[[str], None]) -> Outcome:
    server = object.__new__(JobServer)
    server.url, server._client = NOBODY, client
    return server.follow("job", say)


def test_a_job_is_followed_however_long_and_however_often_a_connection_breaks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    prepare_environment(tmp_path, NOBODY)  # its errors are Ray's
    monkeypatch.setattr(job_server, "_PATIENCE_S", 0.05)
    monkeypatch.setattr(job_server, "_POLL_S", 0.01)
    said: list[str] = []
    assert follow(Breaking(2), said.append) == Outcome("SUCCEEDED", 0, "")
    assert "".join(said) == "one\ntwo\n"
    with pytest.raises(ServiceError, match="nobody is there any more"):
        follow(Breaking(-1), said.append)


@pytest.mark.parametrize(
    ("words", "kind", "reason"),
    [
        (("--data", "d", "--store", "s3://b/s"), ConfigError, "--data: d is a directory"),
        (("--data", "file:///d", "--store", "s3://b/s"), ConfigError, "--data: file:///d is a dir"),
        (("--data", "s3://b/d"), ConfigError, "--store: .* is a directory of this machine"),
        (("--store", "s3://b/s"), ConfigError, "a new study needs SPACE and --data"),
        (("--data", "s3://b/d", "--address", "auto"), ConfigError, "leave out --address"),
        (("--data", "d", "--shared"), ServiceError, "no job server answers at http://127"),
    ],
)
def test_what_cannot_work_is_refused(
    words: tuple[str, ...], kind: type[Ss3dError], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=reason):
        search(str(SPACE), *words, "--submit", NOBODY, "--home", str(tmp_path / "home"))
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    "url",
    [
        "auto",
        "ray://h:10001",
        "http://h",
        "http://:1",
        "http://u:p@h:1",
        "http://:p@h:1",
        "http://h:x",
    ],
)
def test_an_address_that_is_none_is_told(url: str) -> None:
    with pytest.raises(ConfigError, match="expected http://HOST:8265"):
        search(str(SPACE), "--data", "d", "--shared", "--submit", url)


def test_no_token_is_no_way_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    words = (str(SPACE), "--data", "s3://b/d", "--store", "s3://b/s")
    with pytest.raises(RefusedError, match="there is no token for it; set RAY_AUTH_TOKEN_PATH"):
        search(*words, "--submit", "http://192.0.2.1:8265")


class _Answers(BaseHTTPRequestHandler):
    """Answers everything alike, and remembers what it was sent."""

    status = 404
    seen: list[str]

    def do_GET(self) -> None:
        self.seen.append(str(self.headers))
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def answering() -> Iterator[Callable[[int], tuple[str, list[str]]]]:
    """Start a server of a status; returns its address and what it saw."""
    servers: list[HTTPServer] = []

    def start(status: int) -> tuple[str, list[str]]:
        seen: list[str] = []
        handler = type("Handler", (_Answers,), {"status": status, "seen": seen})
        servers.append(HTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}", seen

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "code", "told"), [(401, 5, "RAY_AUTH_TOKEN_PATH"), (404, 4, "no answer of a job")]
)
def test_another_server_and_a_wrong_token_are_told(
    answering: Callable[[int], tuple[str, list[str]]], status: int, code: int, told: str
) -> None:
    url, seen = answering(status)
    words = [sys.executable, "-m", "ss3d", "search", str(SPACE), "--data", "d", "--shared"]
    environment = os.environ | {"RAY_ADDRESS": NOBODY}  # of somebody else: not asked
    outcome = subprocess.run(
        [*words, "--submit", url], env=environment, capture_output=True, text=True
    )
    assert outcome.returncode == code, outcome.stderr
    assert told in outcome.stderr
    assert CANARY not in outcome.stderr
    assert any(f"Bearer {CANARY}" in headers for headers in seen)


@pytest.mark.parametrize(
    ("status", "code", "told", "ends"),
    [
        ("SUCCEEDED", 0, "succeeded", 0),
        ("FAILED", 6, "failed", 6),
        ("FAILED", 130, "interrupted", 130),
        ("STOPPED", None, "interrupted", 130),
    ],
)
def test_how_a_job_ended_is_told_and_its_code_is_ours(
    status: str, code: int | None, told: str, ends: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with nullcontext() if ends == 0 else pytest.raises(typer.Exit) as ended:
        say_outcome("paper", "job-1", Outcome(status, code, ""), as_json=False)
    assert capsys.readouterr().out == f"job-1: {told}\n"
    assert ended is None or ended.value.exit_code == ends
