"""One uploader per node: a thread of whichever worker holds the spool's lock.

It outlives trials because workers do; when its worker dies, the lock is free and another worker of
the node goes on. No process of its own, so nothing to start, place or watch.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

from filelock import FileLock, Timeout

from ss3d.errors import ConflictError, ServiceError, Ss3dError
from ss3d.store.bundle import checkpoints, delete_bundle, put_bundle
from ss3d.store.protocol import Store
from ss3d.study.patience import GaveUpError, patiently
from ss3d.study.spool import Entry, Spool

_POLL_S = 0.05
_LOCK_POLL_S = 0.5
_FULL_POLL_S = 0.5
_KEPT_CHECKPOINTS = 2

log = logging.getLogger(__name__)


class Uploader:
    """Brings this node's spool into the store, in the background.

    Args:
        spool: where workers of this node put files.
        store: where they go.
    """

    def __init__(self, spool: Spool, store: Store) -> None:
        self._spool = spool
        self._store = store
        self._ended = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="uploader", daemon=True)
        self._thread.start()

    def flush(self, job: str) -> None:
        """Wait until all of a job is in the store, however long the store is away.

        Raises:
            CheckpointError: the store refused something of it.
            ServiceError: this process cannot upload any more: disk full, or a bug.
        """
        while self._spool.is_waiting(job):
            self._pause(job, _POLL_S)

    def make_room(self, job: str) -> None:
        """Wait while the spool is full, however long the store is away.

        Raises:
            ServiceError: this process cannot upload any more: disk full, or a bug.
        """
        if reason := self._spool.why_full():
            log.warning("%s waits: %s", job, reason)
        while self._spool.why_full():
            self._pause(job, _FULL_POLL_S)

    def close(self, timeout_s: float) -> None:
        """Stop; what waits stays in the spool for the next session."""
        self._ended.set()
        self._thread.join(timeout_s)

    def _pause(self, job: str, seconds: float) -> None:
        """Wait a moment for the uploader."""
        if self._failure:
            raise ServiceError(f"{job}: the uploader ended: {self._failure!r}")
        if self._ended.wait(seconds):
            raise GaveUpError(f"{job}: the uploader was stopped before all was in the store")

    def _run(self) -> None:
        try:
            self._work_with_lock()
        except GaveUpError:
            return
        except Exception as error:
            log.exception("the uploader ended")
            self._failure = error

    def _work_with_lock(self) -> None:
        lock = FileLock(self._spool.root / "lock", thread_local=False)
        while not self._ended.is_set():
            try:
                with lock.acquire(timeout=0):
                    self._spool.recover()
                    self._upload_until_ended()
            except Timeout:
                self._ended.wait(_LOCK_POLL_S)

    def _upload_until_ended(self) -> None:
        while not self._ended.is_set():
            for entry, files in self._spool.claim():
                self._upload(entry, files)
            self._ended.wait(_POLL_S)

    def _upload(self, entry: Entry, files: Path) -> None:
        try:
            patiently(lambda: send(self._store, entry, files), self._ended)
            self._spool.done(entry)
        except ServiceError:
            raise
        except Ss3dError as error:
            log.exception("%s: the store refused %s", entry.job, entry.key)
            self._spool.refuse(entry, str(error))


def drain(spool: Spool, store: Store, patience_s: float) -> bool:
    """Bring what a session's workers left behind into the store; return whether all is there."""
    uploader = Uploader(spool, store)
    deadline = time.monotonic() + patience_s
    while not spool.is_empty() and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    uploader.close(patience_s)
    return spool.is_empty()


def send(store: Store, entry: Entry, files: Path) -> None:
    """Upload one entry; sending it again changes nothing.

    Raises:
        ServiceError: the store is away.
    """
    match entry.kind:
        case "file":
            _put_file(store, entry.key, files)
        case "log":
            (path,) = files.iterdir()
            store.put_file(entry.key, path)
        case "bundle":
            put_bundle(store, entry.key, files)
        case "checkpoint":
            put_bundle(store, entry.key, files)
            folder = entry.key.rpartition("/")[0]
            for old in checkpoints(store, folder)[:-_KEPT_CHECKPOINTS]:
                delete_bundle(store, old)


def _put_file(store: Store, key: str, files: Path) -> None:
    (path,) = files.iterdir()
    try:
        store.put_new(key, path.read_bytes())
    except ConflictError:
        log.info("%s is in the store already", key)
