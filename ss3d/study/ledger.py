"""What a study spent and what its next jobs will need, booked report by report."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from ss3d.config import canonical_json
from ss3d.study.budget import Need, Spent
from ss3d.study.entries import seconds_of
from ss3d.study.job import JobKind
from ss3d.study.space import Space
from ss3d.trial.dominance import Outcome, dominates
from ss3d.trial.records import EpochReport, Phase, SharedRecord, TrialSpec

_HOUR_S = 3600.0


@dataclass(frozen=True)
class Past:
    """What earlier sessions of a study used."""

    seconds: float = 0.0
    """Wall clock."""
    shared: Mapping[str, float] = field(default_factory=dict)
    """Training seconds of each pretrained state and control that they made."""


@dataclass(frozen=True)
class Work:
    """The training that a job is."""

    job: str
    """Name of the trial; key of what is shared."""
    phase: Phase
    key: str
    """The pretrain key: jobs that agree in it take as long for an epoch."""
    epochs: int

    @classmethod
    def of(cls, kind: JobKind, spec: TrialSpec) -> Self:
        """Return the work of a trial, or of the pretraining or control that it needs."""
        key, config = spec.pretrain_key, spec.config
        match kind:
            case "trial":
                return cls(spec.trial, "semi", key, config.semi.epochs)
            case "pretrain":
                return cls(key, "pretrain", key, config.pretrain.epochs)
            case "control":
                return cls(spec.control_key, "semi", key, config.semi.epochs)


class Ledger:
    """The books of a study.

    Args:
        space: what is searched, and on how many devices.
        past: what earlier sessions used, but for their trials.
        clock: seconds, from anywhere.
        expected: seconds of an epoch by phase, which count until one of the phase was trained.
    """

    def __init__(
        self,
        space: Space,
        past: Past,
        clock: Callable[[], float] = time.monotonic,
        expected: Mapping[Phase, float] | None = None,
    ) -> None:
        self._devices: dict[Phase, float] = {
            "pretrain": space.resources.of("pretrain").devices,
            "semi": space.resources.devices,
        }
        self._sign = space.objective.sign
        self._num_strata = len(space.strata)
        self._clock = clock
        self._expected = dict(expected or {})
        self._past_s = past.seconds
        self._started = clock()
        self._trained: dict[str, float] = dict(past.shared)
        self._device_s = self._devices["semi"] * sum(past.shared.values())
        self._learned: dict[str, tuple[float, int]] = {}
        self._rates: dict[tuple[Phase, str], tuple[float, int]] = defaultdict(lambda: (0.0, 0))
        self._best = math.inf
        self._best_trial = ""
        self._front_of: dict[str, list[tuple[float, ...]]] = {}
        self._flat_of: dict[str, int] = {}

    @property
    def session_s(self) -> float:
        """Seconds since the session began."""
        return self._clock() - self._started

    @property
    def device_hours(self) -> float:
        """Hours trained so far, in all sessions, each job's times its devices."""
        return self._device_s / _HOUR_S

    def book(self, work: Work, reports: Iterable[EpochReport]) -> None:
        """Take all reports of a job so far."""
        known = list(reports)
        self._learn(work, known)
        seconds, before = seconds_of(known), self._trained.get(work.job, 0.0)
        if seconds > before:
            self._trained[work.job] = seconds
            self._device_s += self._devices[work.phase] * (seconds - before)

    def learn(self, record: SharedRecord) -> None:
        """Take a shared job of earlier sessions, once: its speed, and on what devices it was."""
        phase = record.reports[0].phase if record.reports else "pretrain"
        more = self._devices[phase] - self._devices["semi"]
        self._device_s += more * self._trained.get(record.key, 0.0)
        self._learn(Work(record.key, phase, record.key, 0), record.reports)

    def finish(self, spec: TrialSpec, outcome: Outcome | None) -> None:
        """Take a trial's end, in the order of their ends.

        Args:
            spec: of the trial.
            outcome: if it is complete.
        """
        stratum = canonical_json(spec.stratum)
        losses = outcome.losses if outcome and outcome.violation <= 0 else None
        if losses and losses[0] < self._best:
            self._best, self._best_trial = losses[0], spec.trial
        front = self._front_of.setdefault(stratum, [])
        if losses and not any(known == losses or dominates(known, losses) for known in front):
            front[:] = [*(known for known in front if not dominates(losses, known)), losses]
            self._flat_of[stratum] = 0
        elif stratum in self._flat_of:
            self._flat_of[stratum] += 1

    def spent(self, running: Iterable[Work]) -> Spent:
        """Return what is used, with what running jobs will still need."""
        rest_s = sum(self._devices[work.phase] * self._rest_s(work) for work in running)
        has_all = len(self._flat_of) == self._num_strata
        return Spent(
            hours=(self._past_s + self.session_s) / _HOUR_S,
            device_hours=(self._device_s + rest_s) / _HOUR_S,
            best=self._sign * self._best if self._best_trial else None,
            best_trial=self._best_trial,
            flat_for=min(self._flat_of.values()) if has_all else 0,
        )

    def need(self, *works: Work) -> Need:
        """Return what jobs, one after the other, are expected to need still."""
        rests = [(self._devices[work.phase], self._rest_s(work)) for work in works]
        return Need(
            hours=sum(rest_s for _, rest_s in rests) / _HOUR_S,
            device_hours=sum(devices * rest_s for devices, rest_s in rests) / _HOUR_S,
        )

    def trained(self, jobs: Iterable[str]) -> dict[str, float]:
        """Return the training seconds of those jobs that this study trained."""
        return {job: self._trained[job] for job in jobs if job in self._trained}

    def _learn(self, work: Work, reports: Iterable[EpochReport]) -> None:
        known = list(reports)
        new = (seconds_of(known), sum(report.epoch > 0 for report in known))
        old = self._learned.get(work.job, (0.0, 0))
        self._learned[work.job] = new
        for key in (work.key, ""):
            seconds, epochs = self._rates[work.phase, key]
            self._rates[work.phase, key] = (seconds + new[0] - old[0], epochs + new[1] - old[1])

    def _rest_s(self, work: Work) -> float:
        """Return the seconds that a job will still take, by the speed of its key or of all."""
        _, done = self._learned.get(work.job, (0.0, 0))
        for key in (work.key, ""):
            seconds, epochs = self._rates.get((work.phase, key), (0.0, 0))
            if epochs:
                return max(work.epochs - done, 0) * seconds / epochs
        return max(work.epochs - done, 0) * self._expected.get(work.phase, 0.0)
