from __future__ import annotations

import io
import json
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from test_board import make_board
from typer.testing import CliRunner

from ss3d.cli.live_table import draw
from ss3d.cli.main import app
from ss3d.errors import CheckpointError, ConflictError, ServiceError
from ss3d.store.bundle import bundle_exists, checkpoints
from ss3d.store.directory import DirectoryStore
from ss3d.study.live import take_snapshot
from ss3d.study.patience import GaveUpError, patiently, put_once
from ss3d.study.spool import Entry, Spool, Waiting, waiting_in
from ss3d.study.spool_watch import SpoolWatch
from ss3d.study.uploader import Uploader, drain, send


class AwayStore(DirectoryStore):
    """A store that can be away."""

    is_away = False

    def put_new(self, key: str, data: bytes) -> str:
        if self.is_away:
            raise ServiceError("the store is away")
        return super().put_new(key, data)


@pytest.fixture
def store(tmp_path: Path) -> AwayStore:
    return AwayStore(tmp_path / "store")


@pytest.fixture
def spool(tmp_path: Path, store: AwayStore) -> Spool:
    return Spool(tmp_path / "cache", store.address)


@pytest.fixture
def uploader(spool: Spool, store: AwayStore) -> Iterator[Uploader]:
    uploader = Uploader(spool, store)
    yield uploader
    uploader.close(5)


def submit(spool: Spool, entry: Entry, text: str = "x") -> None:
    files = spool.folder()
    (files / "data.txt").write_text(text)
    spool.submit(files, entry)


def checkpoint(epoch: int) -> Entry:
    return Entry("s.t00000", "checkpoint", f"t/checkpoints/a1-{epoch:06d}")


def test_flush_returns_when_all_of_the_job_is_in_the_store(
    spool: Spool, store: AwayStore, uploader: Uploader
) -> None:
    submit(spool, Entry("s.t00000", "file", "a/epochs.json"), "{}")
    submit(spool, Entry("s.t00000", "bundle", "a/best"))
    uploader.flush("s.t00000")
    assert bundle_exists(store, "a/best")
    blob = store.get("a/epochs.json")
    assert blob is not None
    assert blob.data == b"{}"
    assert not spool.is_waiting("s.t00000")


def test_a_store_that_is_away_is_waited_for(
    spool: Spool, store: AwayStore, uploader: Uploader
) -> None:
    store.is_away = True
    submit(spool, Entry("s.t00000", "file", "a/f"))
    time.sleep(0.3)
    assert spool.is_waiting("s.t00000")
    store.is_away = False
    uploader.flush("s.t00000")
    assert store.get("a/f") is not None


def test_while_the_store_is_away_only_the_newest_checkpoint_waits(
    spool: Spool, store: AwayStore
) -> None:
    for epoch in range(1, 6):
        submit(spool, checkpoint(epoch))
    assert drain(spool, store, 10)
    assert checkpoints(store, "t/checkpoints") == ["t/checkpoints/a1-000005"]


def test_two_checkpoints_are_kept_in_order_of_attempt_and_epoch(
    tmp_path: Path, store: AwayStore
) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "x").write_text("x")
    for name in ("a1-000009", "a1-000010", "a2-000003", "a10-000001"):
        send(store, Entry("j", "checkpoint", f"t/checkpoints/{name}"), tmp_path / "f")
    kept = ["t/checkpoints/a2-000003", "t/checkpoints/a10-000001"]
    assert checkpoints(store, "t/checkpoints") == kept


def test_sending_again_changes_nothing(tmp_path: Path, store: AwayStore) -> None:
    files = tmp_path / "f"
    files.mkdir()
    (files / "x").write_text("one")
    for kind in ("file", "bundle", "bundle"):
        send(store, Entry("j", kind, kind), files)
    (files / "x").write_text("two")
    send(store, Entry("j", "file", "file"), files)
    with pytest.raises(ConflictError):
        send(store, Entry("j", "bundle", "bundle"), files)
    assert (Path(store.address) / "file").read_text() == "one"
    assert (Path(store.address) / "bundle" / "x").read_text() == "one"


def test_what_a_dead_uploader_had_on_its_way_is_sent(spool: Spool, store: AwayStore) -> None:
    submit(spool, checkpoint(1))
    next(spool.claim())
    assert spool.is_waiting("s.t00000")
    assert drain(spool, store, 10)
    assert bundle_exists(store, "t/checkpoints/a1-000001")


def test_what_the_store_refuses_is_told_to_the_job(
    spool: Spool, store: AwayStore, uploader: Uploader
) -> None:
    submit(spool, Entry("s.t00000", "file", "not a key"))
    with pytest.raises(CheckpointError, match="the store refused"):
        uploader.flush("s.t00000")
    uploader.flush("s.t00001")
    spool.forget_refused("s.t00000")
    uploader.flush("s.t00000")


def test_one_uploader_per_spool_works(spool: Spool, store: AwayStore, uploader: Uploader) -> None:
    second = Uploader(spool, store)
    for number in range(20):
        submit(spool, Entry("s.t00000", "file", f"f/{number}"))
    second.flush("s.t00000")
    second.close(5)
    assert len(list(store.list("f/"))) == 20


def test_waiting_can_be_ended() -> None:
    ended = threading.Event()
    ended.set()

    def fail() -> None:
        raise ServiceError("away")

    with pytest.raises(GaveUpError, match="gave up waiting: away"):
        patiently(fail, ended)


def test_a_kill_while_a_sent_entry_is_removed_sends_no_half_of_it_again(
    spool: Spool, store: AwayStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(spool, Entry("s.t00000", "bundle", "a/best"))
    entry, files = next(spool.claim())
    send(store, entry, files)

    def killed(path: Path, *, ignore_errors: bool) -> None:
        next(path.rglob("data.txt")).unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            spool.done(entry)
    spool.recover()
    assert spool.is_empty()
    assert drain(spool, store, 10)
    assert (Path(store.address) / "a" / "best" / "data.txt").read_text() == "x"


def test_how_much_waits_and_since_when(tmp_path: Path, store: AwayStore) -> None:
    spool, before = Spool(tmp_path / "cache", store.address, limit_bytes=10), time.time()
    assert waiting_in(tmp_path / "nothing") == waiting_in(spool.root) == Waiting(0, None)
    submit(spool, Entry("s.t00000", "file", "a"), "x" * 6)
    middle = time.time()
    submit(spool, Entry("s.t00001", "file", "b"), "x" * 4)
    assert spool.why_full() == ""
    submit(spool, checkpoint(1), "x" * 100)
    submit(spool, checkpoint(2), "x" * 3)  # replaces the one before
    waiting = waiting_in(spool.root)
    assert waiting.num_bytes == 13
    assert waiting.since is not None
    assert before <= waiting.since <= middle
    assert "GiB wait for the store since 20" in spool.why_full()
    first, _ = next(spool.claim())
    assert waiting_in(spool.root) == waiting  # it is on its way
    spool.refuse(first, "bad key")
    assert waiting_in(spool.root).num_bytes == 7


def test_status_and_the_table_say_that_the_spool_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = DirectoryStore(tmp_path / "store")
    objective = {"metric": "val/cd_l1", "direction": "minimize"}
    tree = {"budget": {"trials": 1}, "objective": objective}
    store.put_new("studies/s/study.json", json.dumps(tree).encode())
    spool = Spool(tmp_path / "cache", store.address, limit_bytes=2**30 * 1e-9)
    board = make_board()
    watch = SpoolWatch(board, spool)
    watch.start()

    def status() -> str:
        words = ["status", "s", "--home", str(tmp_path)]
        return CliRunner().invoke(app, words, catch_exceptions=False).stdout

    monkeypatch.setenv("SS3D_SPOOL_GIB", "1e-9")
    assert "spool" not in status()
    submit(spool, checkpoint(1), "x" * 100)
    assert f"training pauses: {spool.why_full()}" in status().replace("\n", " ")
    deadline = time.monotonic() + 10
    while not board.paused:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    watch.close()
    assert watch.failure is None
    console = Console(width=300, file=io.StringIO())
    console.print(draw(take_snapshot(board, 0.0, 0), "s", "val/cd_l1"))
    assert f"training pauses: {spool.why_full()}" in console.file.getvalue()


def test_nobody_waits_for_an_uploader_that_ended(
    spool: Spool, store: AwayStore, uploader: Uploader
) -> None:
    files = spool.folder()
    for name in ("one.txt", "two.txt"):
        (files / name).write_text(name)
    spool.submit(files, Entry("s.t00000", "file", "a/f"))  # a file entry has one file
    with pytest.raises(ServiceError, match=r"s\.t00000: the uploader ended: ValueError"):
        uploader.flush("s.t00000")


def test_a_write_whose_answer_was_lost_is_no_conflict_with_itself(tmp_path: Path) -> None:
    class Forgetful(DirectoryStore):
        has_answered = False

        def put_new(self, key: str, data: bytes) -> str:
            version = super().put_new(key, data)
            if not self.has_answered:
                self.has_answered = True
                raise ServiceError("the answer was lost")
            return version

    store = Forgetful(tmp_path)
    patiently(lambda: put_once(store, "k", b"same"))
    patiently(lambda: put_once(store, "k", b"same"))
    with pytest.raises(ConflictError):
        put_once(store, "k", b"other")
