"""The thread that looks whether this node's spool is full, so that the table can say so."""

from __future__ import annotations

from ss3d.study.background import Background
from ss3d.study.board import Board
from ss3d.study.spool import Spool

_PERIOD_S = 1.0


class SpoolWatch(Background):
    """Tells the board while workers of this node wait for a spool that is full.

    Args:
        board: of the session.
        spool: of this node.
    """

    def __init__(self, board: Board, spool: Spool) -> None:
        super().__init__("spool watch")
        self._board = board
        self._spool = spool

    def close(self) -> None:
        """Stop."""
        self._ended.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._ended.wait(_PERIOD_S):
            self._board.paused = self._spool.why_full()
