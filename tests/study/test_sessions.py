"""What a session writes down of itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_ledger import end, epochs, make, seal

from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.study import sessions
from ss3d.study.ledger import Past
from ss3d.study.sessions import SessionClock, read_past
from ss3d.trial.history import read_ended


def test_each_session_adds_its_time_and_what_it_trained_for_all(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    assert read_past(store, "x") == Past()
    for number in (1, 2):
        board, ledger, clock = make("hours = 9", past=read_past(store, "x"))
        session = SessionClock(board, ledger, store, "x")
        session.start()
        board.add(seal(board, 0, key="k"), set())
        board.add(seal(board, 1, key="theirs"), {"theirs"})
        board.take("a")
        board.report("a", epochs(number, 0.5, "pretrain"))
        clock.wait(1.0)
        session.close()
        assert session.failure is None
        assert ledger.spent([]).hours == pytest.approx(number)
    assert read_past(store, "x") == Past(7200.0, {"k": 3600.0})
    names = [key.rpartition("/")[2] for key in store.list(layout.study("x", "sessions") + "/")]
    assert names == ["0001.json", "0002.json"]


def test_it_is_written_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "_PERIOD_S", 0.01)
    store = DirectoryStore(tmp_path)
    board, ledger, clock = make("device_hours = 99")
    session = SessionClock(board, ledger, store, "x")
    session.start()
    while read_past(store, "x").seconds < 3 * 3600:
        clock.wait(1.0)
    board.add(seal(board, 0, key="k"), set())
    board.take("a")
    end(board, "a", epochs(8, 0.5, "pretrain"))
    session.close()
    assert session.failure is None
    assert read_past(store, "x").shared == {"k": 4 * 3600.0}


def test_only_the_last_session_says_whether_the_search_is_over(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    told = []
    for reason in ("", "all 2 trials finished", ""):
        board, ledger, _ = make("hours = 9")
        session = SessionClock(board, ledger, store, "x")
        session.start()
        session.close(reason)
        told.append(read_ended(store, "x"))
    assert told == ["", "all 2 trials finished", ""]
