"""The thread that looks whether this node's spool is full, so that the table can say so."""

from __future__ import annotations

import threading

from ss3d.study.board import Board
from ss3d.study.spool import Spool

_PERIOD_S = 1.0


class SpoolWatch:
    """Tells the board while workers of this node wait for a spool that is full.

    Args:
        board: of the session.
        spool: of this node.
    """

    def __init__(self, board: Board, spool: Spool) -> None:
        self._board = board
        self._spool = spool
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="spool watch", daemon=True)
        self.failure: Exception | None = None
        """Why nobody looks any more, if something is wrong."""

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._ended.wait(_PERIOD_S):
                self._board.paused = self._spool.why_full()
        except Exception as error:  # noqa: BLE001 - the driver raises it: nothing is swallowed
            self.failure = error
