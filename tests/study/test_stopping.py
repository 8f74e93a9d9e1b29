"""`ss3d stop`: what is asked, what the driver's thread does of it, and that a resume agrees."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from test_board import events, make_space, progress, seal
from typer.testing import CliRunner

from ss3d.cli.main import app
from ss3d.errors import ConfigError, RefusedError
from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.store.lease import take_lease
from ss3d.study import stopping
from ss3d.study.board import Board
from ss3d.study.events import Decided, Ended
from ss3d.study.job import Job
from ss3d.study.ledger import Ledger, Past
from ss3d.study.rungs import Decision, NeverStop, by_user
from ss3d.study.stopping import StopListener, StopRequest, ask_to_stop

LEASE = layout.study("x", "driver.lease")


def board_with(num: int, decided: dict[tuple[str, int], Decision] | None = None) -> Board:
    space = make_space()
    board = Board(space, NeverStop(), 4, decided or {}, Ledger(space, Past()))
    board.widen(1)
    for number in range(num):
        board.add(seal(board, number), {"k"})
    events(board)
    return board


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    store = DirectoryStore(tmp_path / "store")
    store.put_new(layout.study("x", "study.json"), b'{"schema":1}')
    spec = seal(board_with(0), 0)
    store.put_new(layout.trial("x", "t00000", "spec.json"), spec.to_json())
    return store


def listen(board: Board, store: DirectoryStore, since: float = 0.0) -> bool:
    """Listen once, as a session that ends at once; return whether it is to end."""
    interrupted = threading.Event()
    listener = StopListener(board, store, "x", since, interrupted.set)
    listener.start()
    listener.close(10)
    assert listener.failure is None
    return interrupted.is_set()


def requests(store: DirectoryStore) -> list[str]:
    return [key.rpartition("/")[2] for key in store.list(layout.study("x", "requests") + "/")]


def test_a_trial_that_runs_ends_at_its_next_epoch_with_a_decision() -> None:
    board = board_with(1)
    board.take("a")
    assert board.report("a", progress(9.0, 5.0)) is None
    assert not board.stop("t00000")
    decision = board.report("a", progress(4.0, start=2))
    assert decision == by_user("t00000", 2, 4.0)
    board.end("a", progress(4.0, start=2))
    _, result = board.ended("t00000")
    assert (result.state, result.reason) == ("pruned", "stopped by the user at epoch 2")
    assert result.values == {"val/cd_l1": 4.0}
    assert [e for e in events(board) if isinstance(e, Decided)] == [
        Decided("t00000", 2, by_user("t00000", 2, 4.0))
    ]


def test_a_trial_that_waits_ends_without_running() -> None:
    board = board_with(2)
    assert not board.stop("t00001")
    assert events(board) == [
        Decided("t00001", 0, by_user("t00001", 0, 0.0)),
        Ended("t00001"),
    ]
    _, result = board.ended("t00001")
    assert (result.state, result.values) == ("pruned", {})
    assert result.reason == "stopped by the user before its first epoch"
    assert board.take("a") == Job("trial", "t00000", "k")
    board.end("a", progress(9.0, 5.0, is_done=True))
    assert board.take("b") is None
    board.committed("t00001", result)
    assert board.stop("t00001")  # nothing is left to stop


def test_a_trial_that_completes_first_is_complete() -> None:
    board = board_with(1)
    board.take("a")
    board.stop("t00000")
    board.end("a", progress(9.0, 5.0, is_done=True))
    assert board.ended("t00000")[1].state == "complete"


@pytest.mark.parametrize("known", [0, 1, 2, 3])
def test_a_resume_stops_a_trial_where_it_was_stopped(known: int) -> None:
    """Its driver died after the decision at epoch 2; the store knows of more or fewer epochs."""
    values = (9.0, 5.0, 4.0, 3.0)
    board = board_with(0, {("t00000", 2): by_user("t00000", 2, 4.0)})
    board.add(seal(board, 0), {"k"}, progress(*values[: known + 1]).reports)
    board.stop("t00000")  # the request is still there
    if known < 2:
        board.take("a")
        for epoch in range(1, 3):
            decision = board.report("a", progress(*values[: epoch + 1]))
            assert (decision is not None) == (epoch == 2)
        board.end("a", progress(*values[:3]))
    _, result = board.ended("t00000")
    assert (result.state, [r.epoch for r in result.reports]) == ("pruned", [0, 1, 2])
    assert not [e for e in events(board) if isinstance(e, Decided)]


def test_a_decision_that_it_goes_on_is_never_replaced() -> None:
    """The store has it under the trial and the epoch, so the stop takes the next epoch."""
    going = Decision(False, "asha/2", 1, 5.0, 6.0, 1, 1)
    board = board_with(0, {("t00000", 1): going})
    board.add(seal(board, 0), {"k"}, progress(9.0, 5.0).reports)
    board.stop("t00000")
    board.take("a")
    assert board.report("a", progress(9.0, 5.0)) == going
    assert board.report("a", progress(4.0, start=2)) == by_user("t00000", 2, 4.0)


def test_a_study_is_stopped_once_and_an_old_request_stops_no_later_session(
    store: DirectoryStore,
) -> None:
    with take_lease(store, LEASE, "study x"):
        ask_to_stop(store, "x")
        ask_to_stop(store, "x")
    assert requests(store) == ["study.json"]
    assert listen(board_with(1), store)
    assert requests(store) == []
    assert not listen(board_with(1), store)
    with take_lease(store, LEASE, "study x"):
        ask_to_stop(store, "x")
    assert not listen(board_with(1), store, since=store.now() + 1)
    assert requests(store) == []


def test_a_request_for_a_trial_holds_until_its_result_is_written(store: DirectoryStore) -> None:
    with take_lease(store, LEASE, "study x"):
        ask_to_stop(store, "x", "t00000")
    board = board_with(1)
    assert not listen(board, store)
    _, result = board.ended("t00000")
    assert requests(store) == ["t00000.json"]  # a kill now loses nothing
    board.committed("t00000", result)
    listen(board, store)
    assert requests(store) == []


def test_what_cannot_be_read_or_is_unknown_is_removed(store: DirectoryStore) -> None:
    store.put_new(layout.stop_request("x"), b'{"schema":9,"asked_at":1.0}')
    store.put_new(layout.stop_request("x", "t00007"), StopRequest(asked_at=1.0).to_json())
    assert not listen(board_with(1), store)
    assert requests(store) == []


def test_it_is_refused_where_nothing_runs(store: DirectoryStore) -> None:
    with pytest.raises(RefusedError, match="study x: nothing to stop, nobody runs it"):
        ask_to_stop(store, "x")
    with pytest.raises(ConfigError, match="study 'y': not in the store"):
        ask_to_stop(store, "y")
    with pytest.raises(ConfigError, match="trial x/t00005: there is none"):
        ask_to_stop(store, "x", "t00005")
    board = board_with(1)
    board.stop("t00000")
    result = board.ended("t00000")[1]
    store.put_new(layout.trial("x", "t00000", "result.json"), result.to_json())
    with (
        take_lease(store, LEASE, "study x"),
        pytest.raises(RefusedError, match="nothing to stop, it is pruned already"),
    ):
        ask_to_stop(store, "x", "t00000")
    assert requests(store) == []


def test_the_command_waits_until_nobody_runs_the_study(
    store: DirectoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stopping, "_POLL_S", 0.01)
    arguments = ["stop", "x", "--store", store.address]
    lease, left = take_lease(store, LEASE, "study x"), threading.Event()

    def leave() -> None:
        left.set()
        lease.release()

    listener = StopListener(board_with(1), store, "x", 0.0, leave)
    now = CliRunner().invoke(app, [*arguments, "--no-wait"])
    assert "study x: asked to stop; `ss3d search --name x --resume` goes on" in now.output
    assert not left.is_set()
    listener.start()
    lease = take_lease(store, LEASE, "study x") if left.is_set() else lease
    told = CliRunner().invoke(app, arguments)
    listener.close(10)
    assert told.exit_code == 0, told.output
    assert "study x: stopped" in told.output
