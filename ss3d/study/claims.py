"""The thread that claims shared jobs: one driver at a time makes a pretrained state or a control.

The driver holds the leases and not its workers, so what waits for another driver occupies no slot.
"""

from __future__ import annotations

from ss3d.errors import RefusedError
from ss3d.store import layout
from ss3d.store.layout import SharedKind
from ss3d.store.lease import TTL_S, Lease, take_lease
from ss3d.store.protocol import Store
from ss3d.study.background import Background
from ss3d.study.board import Board
from ss3d.study.job import Job
from ss3d.study.ownership import Ownership
from ss3d.study.patience import patiently
from ss3d.trial.history import is_complete, why_failed

_POLL_S = 1.0
"""How soon the end of what another driver makes is seen."""


class Claims(Background):
    """Holds the leases of the shared jobs that run here or are next.

    Never more than there are slots: another driver could make what ours has no room for.

    Args:
        board: says what is next, and hands out what is claimed.
        store: where the leases are.
        ttl_s: seconds after which a lease of a dead driver is taken over.
    """

    def __init__(self, board: Board, store: Store, ttl_s: float = TTL_S) -> None:
        super().__init__("claims")
        self._board = board
        self._ownership = Ownership(board)
        self._store = store
        self._ttl_s = ttl_s
        self._held: dict[str, Lease] = {}

    def close(self, patience_s: float) -> None:
        """Give all leases back; those of a store that is away run out by themselves.

        Args:
            patience_s: seconds to wait for the store.
        """
        self._ended.set()
        with self._board.changed:
            self._board.changed.notify_all()
        self._thread.join(patience_s)

    def _work(self) -> None:
        try:
            while not self._ended.is_set():
                self._let_go()
                for job in self._ownership.wanted():
                    self._settle(job)
                with self._board.changed:
                    if not self._ownership.is_undecided() and not self._ended.is_set():
                        self._board.changed.wait(_POLL_S)
        finally:
            for lease in self._held.values():
                lease.release()

    def _let_go(self) -> None:
        """Give back the leases of jobs that ended, and of those that found no free slot."""
        for key in list(self._held):
            if self._ownership.let_go(key):
                self._held.pop(key).release()

    def _settle(self, job: Job) -> None:
        """Find out what the store says of a shared job, and claim it if nobody has it."""
        if self._is_settled(job):
            return
        lease = patiently(lambda: self._take(job), self._ended)
        if lease is None:
            self._ownership.leave(job)
            return
        self._held[job.key] = lease
        if not self._is_settled(job):  # somebody may have ended it just before
            self._ownership.claim(job)

    def _take(self, job: Job) -> Lease | None:
        """Take the lease of a shared job; None if another driver holds it."""
        kind = _kind(job)
        key = layout.shared(kind, job.key, "lease")
        what = f"{kind} {job.key[:12]}"
        try:
            return take_lease(
                self._store, key, what, self._ttl_s, lambda: self._ownership.lose(job.key)
            )
        except RefusedError:
            return None

    def _is_settled(self, job: Job) -> bool:
        """Tell the board of a job that is finished, or cannot be finished."""
        kind = _kind(job)
        if patiently(lambda: is_complete(self._store, kind, job.key), self._ended):
            self._board.end_elsewhere(job, "")
            return True
        reason = patiently(lambda: why_failed(self._store, kind, job.key), self._ended)
        if reason:
            self._board.end_elsewhere(job, reason)
        return bool(reason)


def _kind(job: Job) -> SharedKind:
    return "control" if job.kind == "control" else "pretrain"
