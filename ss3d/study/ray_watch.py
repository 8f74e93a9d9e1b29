"""The thread that looks whether the Ray of a search still lives: Tune may wait for a dead one."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress

import psutil

from ss3d.errors import ServiceError
from ss3d.study.background import Background
from ss3d.study.board import Board

_PERIOD_S = 1.0
_SILENT_S = 30.0
"""How long the head may be away: it comes back by then where Ray keeps its state elsewhere. After a
minute Ray ends the process, without a word."""
_GRACE_S = 15.0
"""How long Tune has to notice, and Ray to shut down, before the process is ended."""

Head = tuple[str, int]
"""Host and port of Ray's head."""


def _leave(reason: str) -> None:
    """End this process at once: its main thread waits in a library for what is dead."""
    sys.stderr.write(f"ss3d: {reason}; the same command with --resume goes on\n")
    sys.stderr.flush()
    os._exit(ServiceError.exit_code)


class RayWatch(Background):
    """Ends the session when Ray's node process, a child of this one, or Ray's head has died.

    What trains dies with them, so nothing is lost that the store does not have, and all of it can
    be resumed.

    Args:
        board: of the session; a loss ends it.
        leave: ends the process, for a reason, where Ray or Tune does not return.
        silent_s: seconds that the head may be away.
        grace_s: seconds from the loss to the end of the process.
    """

    def __init__(
        self,
        board: Board,
        leave: Callable[[str], None] = _leave,
        silent_s: float = _SILENT_S,
        grace_s: float = _GRACE_S,
    ) -> None:
        super().__init__("ray watch")
        self.head: Head | None = None
        """To be set before the start; one that does not answer then is not watched."""
        self._board = board
        self._leave = leave
        self._silent_s = silent_s
        self._grace_s = grace_s

    def close(self) -> None:
        """Stop."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        nodes = [child for child in psutil.Process().children() if _name(child) == "raylet"]
        head = self.head if self.head and answers(self.head) else None
        heard, loss = time.monotonic(), ""
        while not loss and not self._ended.wait(_PERIOD_S):
            if head is None or answers(head):
                heard = time.monotonic()
            elif time.monotonic() - heard > self._silent_s:
                loss = f"Ray's head at {head[0]}:{head[1]} does not answer"
            if any(map(_is_dead, nodes)):
                loss = "Ray's node process on this machine died"
        if loss:
            self._board.loss = loss
            if not self._ended.wait(self._grace_s):
                self._leave(loss)


def answers(head: Head) -> bool:
    """Return whether a head, or what is in its place, can be connected to."""
    with suppress(OSError), socket.create_connection(head, timeout=_PERIOD_S):
        return True
    return False


def _name(process: psutil.Process) -> str:
    with suppress(psutil.NoSuchProcess):
        return process.name()
    return ""


def _is_dead(process: psutil.Process) -> bool:
    try:
        return process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return True
