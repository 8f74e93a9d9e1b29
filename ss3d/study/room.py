"""How many slots jobs take, and which job may start beside those that run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import get_args

from ss3d.study.job import Job, JobKind
from ss3d.study.tables import Resources

_ROUNDING = 1e-9


class Room:
    """The slots of a session: each is as large as a trial, a pretraining may be larger or smaller.

    A job that is handed out has its place only when Ray finds one: where there are several nodes,
    what is free of all of them need not be enough on one. Until then nothing smaller is handed out
    that could take that place, so a large job waits at most for the end of what runs already. Jobs
    of one size never wait for each other.

    Args:
        resources: what jobs occupy.
        live: the jobs that were handed out, by Tune's ids.
    """

    def __init__(self, resources: Resources, live: Mapping[str, Job]) -> None:
        shares = {kind: resources.of(kind) for kind in get_args(JobKind)}
        self.slots = 1
        self._sizes = {kind: (share.devices, share.cpus) for kind, share in shares.items()}
        self._slots = {kind: slots_of(kind, resources) for kind in shares}
        self._live = live
        self._unplaced: set[str] = set()
        self.resting: dict[str, Job] = {}
        """Workers that keep their slots without a job, because their nodes are slow."""

    def slots_of(self, kind: JobKind) -> float:
        """Return the slots that a job takes; one that is larger than all of them takes all."""
        return min(self._slots[kind], self.slots)

    def free(self) -> float:
        """Return the slots that neither a job nor a resting worker takes; while no job runs, all.

        For Tune asks for a job and hears nobody until there is one.
        """
        if not self._live:
            return self.slots
        return self.slots - self._taken(self.resting) - self._taken(self._live)

    def fits(self, kind: JobKind, free: float) -> bool:
        """Return whether a job may be handed out now.

        Args:
            kind: of the job.
            free: slots that it may take.
        """
        if any(self._sizes[self._live[other].kind] > self._sizes[kind] for other in self._unplaced):
            return False
        return free > _ROUNDING and self.slots_of(kind) <= free + _ROUNDING

    def rest(self, tune_id: str, job: Job) -> None:
        """Take note that a worker keeps the slots of a job that it let go."""
        self.settle(tune_id)
        self.resting[tune_id] = job

    def wake(self, tune_id: str) -> bool:
        """Take note that a worker rests no longer; return whether it did."""
        return self.resting.pop(tune_id, None) is not None

    def await_place(self, tune_id: str) -> None:
        """Take note that a live job has no place in Ray: not yet, or no longer."""
        self._unplaced.add(tune_id)

    def is_placed(self, tune_id: str) -> bool:
        """Return whether a live job has its place."""
        return tune_id not in self._unplaced

    def settle(self, tune_id: str) -> None:
        """Take note that a job has its place, or needs none any more."""
        self._unplaced.discard(tune_id)

    def _taken(self, jobs: Mapping[str, Job]) -> float:
        if self._slots["pretrain"] == 1:
            return len(jobs)  # without a look at each: there may be hundreds
        return math.fsum(self.slots_of(job.kind) for job in jobs.values())


def slots_of(kind: JobKind, resources: Resources) -> float:
    """Return the slots that a job takes: how many trials have room in its place.

    Part of one if it is smaller than a trial; else whole ones: a whole GPU is 2.5 times as much as
    a trial's share of 0.4, and two of them have room there.

    Args:
        kind: of the job.
        resources: what jobs occupy.
    """
    ratio = resources.of(kind).devices / resources.devices
    return math.floor(ratio + _ROUNDING) if ratio >= 1 else ratio
