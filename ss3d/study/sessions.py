"""What the sessions of a study used, for budgets in hours: sessions/0002.json in the store.

A session that is killed loses what it used since it was last written down.
"""

from __future__ import annotations

from ss3d.config import canonical_json
from ss3d.errors import CheckpointError
from ss3d.store import layout
from ss3d.store.protocol import Store
from ss3d.study.background import Background
from ss3d.study.board import Board
from ss3d.study.ledger import Ledger, Past
from ss3d.study.patience import patiently
from ss3d.trial.history import read_object
from ss3d.trial.records import SCHEMA

_PERIOD_S = 15.0


class SessionClock(Background):
    """Writes down what this session used, again and again.

    Args:
        board: of the session.
        ledger: its books.
        store: where the study is; its lease is held.
        study: the study's name.
    """

    def __init__(self, board: Board, ledger: Ledger, store: Store, study: str) -> None:
        super().__init__("session clock")
        self._board = board
        self._ledger = ledger
        self._store = store
        self._key = layout.study(study, "sessions", f"{_count(store, study) + 1:04d}.json")
        self._reason = ""

    def close(self, reason: str = "") -> None:
        """Write for the last time.

        Args:
            reason: why the search is over; empty if it was interrupted.
        """
        self._reason = reason
        self._ended.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._ended.is_set():
            patiently(self._write, self._ended)
            self._ended.wait(_PERIOD_S)
        patiently(self._write, self._ended)

    def _write(self) -> None:
        with self._board.changed:
            shared = self._ledger.trained(self._board.shared)
        tree = {
            "schema": SCHEMA,
            "seconds": self._ledger.session_s,
            "shared": shared,
            "ended": self._reason,
        }
        data, blob = canonical_json(tree).encode(), self._store.get(self._key)
        if blob is None:
            self._store.put_new(self._key, data)
        else:
            self._store.put_if(self._key, data, blob.version)


def read_past(store: Store, study: str) -> Past:
    """Return what the sessions of a study used so far, but for their trials.

    Raises:
        CheckpointError: a record is damaged.
    """
    seconds, shared = 0.0, dict[str, float]()
    for key in store.list(layout.study(study, "sessions") + "/"):
        blob = store.get(key)
        tree = read_object(blob.data, key) if blob else {"seconds": 0.0, "shared": {}}
        try:
            seconds += float(tree["seconds"])
            for job, trained_s in tree["shared"].items():
                shared[job] = max(shared.get(job, 0.0), float(trained_s))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{key} is damaged: {error!r}") from error
    return Past(seconds, shared)


def _count(store: Store, study: str) -> int:
    return len(list(store.list(layout.study(study, "sessions") + "/")))
