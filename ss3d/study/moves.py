"""Moves jobs away from nodes that are much slower than others of their kind. Memory only.

The worker of a straggler lets its job go once all of it is in the store, and rests: it keeps its
slot, so that the next attempt has to begin elsewhere, whatever free slot Ray would choose.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from ss3d.study.board import Board
from ss3d.study.job import Job, Node, Progress
from ss3d.study.ledger import Work
from ss3d.study.planned import kind_of
from ss3d.study.stragglers import Lag, Stragglers

_MOVING_S = 30.0
"""That a job is expected to lose: a process starts, imports, and loads data and checkpoint."""
_LONGEST_REST_S = 3600.0
"""After it the node is given another job, and shows whether it is still slow."""
_SILENCE_S = 60.0
_SILENT_EPOCHS = 10
"""Of the cohort, if longer: a node rests only while there are others that train."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Rest:
    """Of a node."""

    until: float
    patience_s: float
    """For any other worker to tell of an epoch."""


class Moves:
    """Decides which jobs move, and how long the nodes that they left rest.

    Args:
        board: of the session.
        clock: seconds, from anywhere.
    """

    def __init__(self, board: Board, clock: Callable[[], float] = time.monotonic) -> None:
        self._board = board
        self._clock = clock
        self._stragglers = Stragglers()
        self._due: dict[str, tuple[Lag, float]] = {}
        """Workers that were told to let go, with the seconds that their jobs would have stayed."""
        self._left: dict[str, str] = {}
        """The node that a job was moved from, once at most."""
        self._rests: dict[str, _Rest] = {}
        self._heard_at = clock()

    def steer(self, job: Job) -> Job:
        """Return a job that is about to start, with the node that it shall not start on."""
        left = self._left.get(job.name, "")
        return replace(job, avoid=left if left in self._rests else "")

    def is_due(self, tune_id: str, progress: Progress) -> bool:
        """Take a worker's progress; return whether its job is to move before its next epoch."""
        self._heard_at = self._clock()
        board, node = self._board, progress.node
        with board.changed:
            job = board.live.get(tune_id)
            if job is None:
                return False
            if not self._stragglers.knows(tune_id):  # what it tells first was trained before
                self._stragglers.begin(tune_id, node.id, (node.kind, *self._effort(job)))
                return False
            seconds = [r.system["epoch_s"] for r in progress.reports if r.epoch]
            lag = self._stragglers.see(tune_id, seconds, self._rests)
            if lag is None:
                return False
            if left := self._left.get(job.name):
                self._rests.pop(left, None)  # the job is slow by itself, and that node is not
                return False
            epochs = Work.of(job.kind, board.trials[job.trial].spec).epochs
            rest = epochs - progress.reports[-1].epoch
            wait_s = 0.0 if board.room.free() > 0 else epochs * lag.cohort_s / board.slots
        if rest * lag.epoch_s <= _MOVING_S + wait_s + rest * lag.cohort_s:
            return False
        self._due[tune_id] = lag, rest * lag.epoch_s
        return True

    def may_rest(self, tune_id: str, node: Node) -> bool:
        """Take a worker that let its job go; return whether it still keeps its slot.

        Args:
            tune_id: of the worker.
            node: where it is.
        """
        with self._board.changed:
            job = self._board.let_go(tune_id)
            if job and tune_id in self._due:
                self._move(job, node, *self._due.pop(tune_id))
            is_over = self._board.is_exhausted() or self._board.is_ending()
            return not is_over and self._is_resting(node)

    def forget(self, tune_id: str) -> None:
        """Take note that a worker ended."""
        self._stragglers.forget(tune_id)
        self._due.pop(tune_id, None)
        self._board.reuse(tune_id)

    def _effort(self, job: Job) -> tuple[object, ...]:
        """Return what decides how long the job's epochs take on nodes of a kind."""
        spec = self._board.trials[job.trial].spec
        config = spec.config.control() if job.kind == "control" else spec.config
        phase = config.pretrain if job.kind == "pretrain" else config.semi
        return Work.of(job.kind, spec).phase, kind_of(config), phase.steps // phase.epochs

    def _move(self, job: Job, node: Node, lag: Lag, stay_s: float) -> None:
        self._board.num_moved += 1
        self._left[job.name] = node.id
        self._heard_at = now = self._clock()
        patience_s = max(_SILENCE_S, _SILENT_EPOCHS * lag.cohort_s)
        self._rests[node.id] = _Rest(now + min(stay_s, _LONGEST_REST_S), patience_s)
        told = f"moved {job.name} from node {node}: its epochs took {lag.factor:.1f} x the cohort's"
        facts = {"trial": job.trial, "node": node.id, "epoch_s": lag.epoch_s}
        log.info(told, extra={"facts": facts | {"cohort_s": lag.cohort_s}})

    def _is_resting(self, node: Node) -> bool:
        """Return whether a node still rests; one that is alone in the end trains again."""
        rest, now = self._rests.get(node.id), self._clock()
        if rest is None:
            return False
        is_alone = now - self._heard_at > rest.patience_s
        if is_alone:
            self._stragglers.forget_cohorts()
        if not is_alone and now <= rest.until:
            return True
        del self._rests[node.id]
        log.info("node %s gets jobs again", node)
        return False
