"""Drivers that share a store, without Ray: who makes what, and what the others do meanwhile."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from test_board import make_board, seal

from ss3d.errors import ConflictError
from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.store.lease import is_held
from ss3d.study.board import Board
from ss3d.study.claims import Claims
from ss3d.study.job import Job, Progress

TTL_S = 0.6
KEY = "ab" * 32
PRETRAIN, TRIAL = Job("pretrain", "t00000", KEY), Job("trial", "t00000", KEY)
THIEF = json.dumps({"host": "elsewhere/1", "pid": 1, "started": 0.0, "expires": 1e12}).encode()
DONE = Progress(1, (), is_done=True)

Start = Callable[..., tuple[Board, Claims]]


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "store")


@pytest.fixture
def start(store: DirectoryStore) -> Iterator[Start]:
    """Start a driver's claims for a board whose trials need one key each."""
    started: list[Claims] = []

    def start(*keys: str, slots: int = 8) -> tuple[Board, Claims]:
        board = make_board(target=len(keys))
        claims = Claims(board, store, TTL_S)
        board.widen(slots)
        for number, key in enumerate(keys):
            board.add(seal(board, number, key), set())
        claims.start()
        started.append(claims)
        return board, claims

    yield start
    for claims in started:
        claims.close(5)
        assert claims.failure is None


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def take(board: Board, tune_id: str) -> Job:
    found: list[Job] = []
    wait_for(lambda: found or [found.append(job) for job in [board.take(tune_id)] if job])
    return found[0]


def lease_of(key: str) -> str:
    return layout.pretrain(key, "lease")


def complete(store: DirectoryStore, key: str) -> None:
    store.put_new(layout.pretrain(key, "manifest.json"), b'{"checkpoint": "checkpoint/a1"}')


def steal(store: DirectoryStore, key: str, claim: bytes) -> None:
    """Take a lease over from a holder that renews it, and may win some times."""
    while True:
        blob = store.get(key)
        assert blob is not None
        try:
            store.put_if(key, claim, blob.version)
        except ConflictError:
            continue
        return


def test_the_second_waits_without_a_slot_and_uses_what_the_first_made(
    store: DirectoryStore, start: Start
) -> None:
    first, _ = start(KEY)
    assert take(first, "a") == PRETRAIN
    second, _ = start(KEY, "cd" * 32)
    other = take(second, "x")
    assert (other.kind, other.key) == ("pretrain", "cd" * 32)
    wait_for(lambda: second.shared[KEY].state == "elsewhere")
    assert second.take("y") is None
    assert not second.is_exhausted()
    complete(store, KEY)
    first.end("a", DONE)
    assert take(second, "y") == TRIAL
    assert take(first, "b") == TRIAL
    wait_for(lambda: not is_held(store, lease_of(KEY)))


def test_what_was_made_before_its_lease_was_free_is_used(
    store: DirectoryStore, start: Start
) -> None:
    complete(store, KEY)
    board, _ = start(KEY)
    assert take(board, "a") == TRIAL
    assert store.get(lease_of(KEY)) is None


def test_a_driver_that_died_elsewhere_is_followed_when_its_lease_runs_out(
    store: DirectoryStore, start: Start
) -> None:
    claim = {"host": "elsewhere/1", "pid": 1, "started": 0.0, "expires": store.now() + TTL_S}
    store.put_new(lease_of(KEY), json.dumps(claim).encode())
    board, _ = start(KEY)
    wait_for(lambda: board.shared[KEY].state == "elsewhere")
    assert board.take("a") is None
    assert take(board, "a") == PRETRAIN
    assert store.now() > claim["expires"]


def test_a_failure_is_seen_by_all(store: DirectoryStore, start: Start) -> None:
    first, _ = start(KEY)
    assert take(first, "a") == PRETRAIN
    second, _ = start(KEY)
    wait_for(lambda: second.shared[KEY].state == "elsewhere")
    reason = "loss is not finite"
    store.put_new(layout.pretrain(KEY, "failed.json"), json.dumps({"reason": reason}).encode())
    first.end("a", Progress(1, (), is_done=True, failure=reason))
    for board in (first, second, start(KEY)[0]):
        wait_for(lambda board=board: board.trials["t00000"].state == "failed")
        assert board.ended("t00000")[1].reason == f"its pretraining failed: {reason}"
        assert board.is_exhausted()


def test_a_job_whose_lease_was_taken_over_stops_and_its_driver_waits(
    store: DirectoryStore, start: Start
) -> None:
    board, _ = start(KEY)
    assert take(board, "a") == PRETRAIN
    assert not board.is_taken_over("a")
    steal(store, lease_of(KEY), THIEF)
    wait_for(lambda: board.is_taken_over("a"))
    board.end("a", Progress(1, ()))
    assert board.shared[KEY].state == "elsewhere"
    assert board.take("b") is None
    complete(store, KEY)
    assert take(board, "b") == TRIAL
    blob = store.get(lease_of(KEY))
    assert blob is not None
    assert blob.data == THIEF


def test_a_control_that_was_taken_over_at_its_end_is_not_made_twice(
    store: DirectoryStore, start: Start
) -> None:
    board, _ = start()
    board.target = 1
    board.add(seal(board, 0, KEY, control="cd" * 32), {KEY})
    board.end(take(board, "a") and "a", DONE)
    control = take(board, "b")
    assert control == Job("control", "t00000", "cd" * 32)
    steal(store, layout.shared("control", control.key, "lease"), THIEF)
    wait_for(lambda: board.is_taken_over("b"))
    board.end("b", Progress(1, ()))
    assert not board.is_exhausted()
    store.put_new(layout.shared("control", control.key, "manifest.json"), b"{}")
    wait_for(lambda: board.shared[control.key].state == "ready")
    assert board.is_exhausted()


@pytest.mark.parametrize("slots", [1, 3])
def test_no_more_is_claimed_than_there_are_slots(
    store: DirectoryStore, start: Start, slots: int
) -> None:
    keys = [f"{number:02d}" * 32 for number in range(20)]
    board, claims = start(*keys, slots=slots)

    def held() -> list[str]:
        return [key for key in keys if is_held(store, lease_of(key))]

    wait_for(lambda: held() == keys[:slots])
    for number, key in enumerate(keys):
        job = take(board, key)
        assert job.key == key  # in order, however fast the store answers
        assert len(held()) <= slots
        if number + 1 >= slots:
            first = keys[number + 1 - slots]
            complete(store, first)
            board.end(first, Progress(1, (), is_done=True, failure="so that no trial follows"))
    claims.close(5)
    assert held() == []


def test_a_claim_that_finds_no_free_slot_is_given_back(store: DirectoryStore, start: Start) -> None:
    board, _ = start(KEY, slots=1)
    wait_for(lambda: board.shared[KEY].state == "claimed")
    board.widen(0)
    wait_for(lambda: not is_held(store, lease_of(KEY)))
    assert board.shared[KEY].state == "waiting"
    board.widen(1)
    assert take(board, "a") == PRETRAIN


def test_a_shared_job_that_its_worker_let_go_stays_ours_until_it_is_taken_over(
    store: DirectoryStore, start: Start
) -> None:
    board, _ = start(KEY)
    assert take(board, "a") == PRETRAIN
    assert board.let_go("a") == PRETRAIN
    time.sleep(2 * TTL_S)
    assert is_held(store, lease_of(KEY))
    steal(store, lease_of(KEY), THIEF)
    wait_for(lambda: board.shared[KEY].is_taken_over)
    assert board.take("b") == PRETRAIN
    assert board.is_taken_over("b"), "its worker is stopped at its first word"
