"""The thread that looks whether Ray on this machine still lives: Tune may wait for a dead one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress

import psutil

from ss3d.errors import ServiceError
from ss3d.study.background import Background
from ss3d.study.board import Board

_PERIOD_S = 1.0
_GRACE_S = 30.0
"""How long Tune has to notice, and Ray to shut down, before the process is ended."""


def _leave() -> None:
    """End this process at once: its main thread waits in a library for what is dead."""
    sys.stderr.write("ss3d: Ray died on this machine; the same command with --resume goes on\n")
    sys.stderr.flush()
    os._exit(ServiceError.exit_code)


class RayWatch(Background):
    """Ends the session when Ray's node process, a child of this one, has died.

    What trains dies with it, so nothing is lost that the store does not have, and all of it can be
    resumed. A cluster that was joined has its node elsewhere: then nothing is watched.

    Args:
        board: of the session; a loss ends it.
        leave: ends the process where Ray or Tune does not return.
        grace_s: seconds until then.
    """

    def __init__(
        self, board: Board, leave: Callable[[], None] = _leave, grace_s: float = _GRACE_S
    ) -> None:
        super().__init__("ray watch")
        self._board = board
        self._leave = leave
        self._grace_s = grace_s

    def close(self) -> None:
        """Stop."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        nodes = [child for child in psutil.Process().children() if _name(child) == "raylet"]
        while not self._ended.wait(_PERIOD_S):
            if any(map(_is_dead, nodes)):
                self._board.loss = "Ray's node process on this machine died"
                if not self._ended.wait(self._grace_s):
                    self._leave()
                return


def _name(process: psutil.Process) -> str:
    with suppress(psutil.NoSuchProcess):
        return process.name()
    return ""


def _is_dead(process: psutil.Process) -> bool:
    try:
        return process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return True
