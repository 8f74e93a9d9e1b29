"""Which jobs take much longer for an epoch than others do for such an epoch on other nodes."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass, field
from statistics import median

_FACTOR = 2.5
"""Times the cohort's seconds that each of the newest epochs took."""
_NEWEST = 3
"""Epochs that are compared, of the job and of each node: when all become slow, all look slow."""


@dataclass(frozen=True)
class Lag:
    """Seconds of an epoch of a straggler, and of its cohort."""

    epoch_s: float
    cohort_s: float

    @property
    def factor(self) -> float:
        """Return how many times longer the straggler takes."""
        return self.epoch_s / self.cohort_s


def _newest() -> deque[float]:
    return deque(maxlen=_NEWEST)


@dataclass
class _Run:
    node: str
    effort: Hashable
    is_warm: bool = False
    newest: deque[float] = field(default_factory=_newest)


class Stragglers:
    """Compares running jobs with their cohorts: the newest epochs of equal effort on each node."""

    def __init__(self) -> None:
        self._runs: dict[str, _Run] = {}
        self._cohorts: defaultdict[Hashable, defaultdict[str, deque[float]]] = defaultdict(
            lambda: defaultdict(_newest)
        )

    def begin(self, run: str, node: str, effort: Hashable) -> None:
        """Take note that a job runs.

        Args:
            run: its name.
            node: where it runs.
            effort: what decides how long its epochs should take.
        """
        self._runs[run] = _Run(node, effort)

    def knows(self, run: str) -> bool:
        """Return whether a job runs."""
        return run in self._runs

    def forget(self, run: str) -> None:
        """Take note that a job runs no longer; its epochs stay in the cohort."""
        self._runs.pop(run, None)

    def forget_cohorts(self) -> None:
        """Compare with nothing that was trained before now."""
        self._cohorts.clear()

    def see(self, run: str, seconds: Sequence[float], resting: Collection[str]) -> Lag | None:
        """Take new epochs of a job; return how far it lags if it is a straggler.

        The first epoch of a run counts for nothing: it compiles, and fills caches.

        Args:
            run: that has begun.
            seconds: of each epoch.
            resting: nodes that nothing is compared with.
        """
        it = self._runs[run]
        warm = seconds if it.is_warm else seconds[1:]
        it.is_warm = it.is_warm or bool(seconds)
        it.newest.extend(warm)
        nodes = self._cohorts[it.effort]
        nodes[it.node].extend(warm)
        others = [
            median(newest)
            for node, newest in nodes.items()
            if len(newest) == _NEWEST and node != it.node and node not in resting
        ]
        if len(it.newest) < _NEWEST or not others:
            return None
        lag = Lag(median(it.newest), median(others))
        return lag if min(it.newest) > _FACTOR * lag.cohort_s else None
