"""Which driver makes each of the shared jobs that the board needs. Memory only."""

from __future__ import annotations

from ss3d.study.board import Board
from ss3d.study.entries import KeyState
from ss3d.study.job import Job


class Ownership:
    """The board's shared jobs as other drivers may have them.

    Args:
        board: of the session; from now on it hands out what is claimed alone.
    """

    def __init__(self, board: Board) -> None:
        self._board = board
        board.is_alone = False

    def wanted(self) -> list[Job]:
        """Return the shared jobs that free slots could start, if their leases were ours.

        Those that another driver makes take no slot; they may be finished meanwhile.
        """
        board = self._board
        with board.changed:
            free = 0 if board.loss else board.num_free
            found: list[Job] = []
            for job in board.jobs() if free > 0 else ():
                state = self._state(job)
                free -= state != "elsewhere"
                if state in ("elsewhere", "waiting"):
                    found.append(job)
                if free < 1:
                    break
            return found

    def is_undecided(self) -> bool:
        """Return whether a slot waits for a claim."""
        with self._board.changed:
            return any(self._state(job) == "waiting" for job in self.wanted())

    def claim(self, job: Job) -> None:
        """Take note that the lease of a shared job is ours."""
        self._settle(job, "claimed")

    def leave(self, job: Job) -> None:
        """Take note that another driver has the lease of a shared job."""
        self._settle(job, "elsewhere")

    def lose(self, key: str) -> None:
        """Take note that another driver took a lease over; a job that runs is to be stopped."""
        with self._board.changed:
            shared = self._board.shared[key]
            if shared.state == "running":
                shared.is_taken_over = True
            elif shared.state == "claimed":
                shared.state = "elsewhere"

    def let_go(self, key: str) -> bool:
        """Return whether the lease of a shared job can be given back; it waits again then."""
        with self._board.changed:
            shared = self._board.shared[key]
            if shared.state == "claimed":
                if self._board.num_free > 0:
                    return False
                shared.state = "waiting"
            return shared.state != "running"

    def _settle(self, job: Job, state: KeyState) -> None:
        with self._board.changed:
            self._board.shared[job.key].state = state
            self._board.changed.notify_all()

    def _state(self, job: Job) -> KeyState | None:
        return None if job.kind == "trial" else self._board.shared[job.key].state
