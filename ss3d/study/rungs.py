"""Who goes on: pure functions on curves, which can explain themselves.

Epochs are those of the teacher-student phase; epoch 0, the pretrained value, is never compared.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Curve:
    """The objective of one trial, lower is better, by epoch."""

    values: Mapping[int, float]
    is_complete: bool = False


@dataclass(frozen=True)
class Decision:
    """What a rule says of a trial at an epoch, and from what."""

    stop: bool
    rule: str
    rung: int
    """Epoch at which trials were compared."""
    value: float
    cutoff: float
    """Worst value that goes on."""
    rank: int
    """Place of the trial among all that were compared, from 1."""
    peers: tuple[str, ...]
    """The trials it was compared with, itself included."""


Curves = Mapping[str, Curve]


class Rule(Protocol):
    """A stopping rule."""

    def decide(self, curves: Curves, trial: str, epoch: int) -> Decision | None:
        """Judge a trial by the curves of its stratum, its own included.

        Returns:
            None where the epoch is no rung.
        """


@dataclass(frozen=True)
class SuccessiveHalving:
    """Asynchronous successive halving: of all that reached a rung, the best 1/factor go on.

    With fewer than `factor` trials at a rung the best one goes on (Optuna's rule). Decisions are
    made at arrival and never taken back.
    """

    first_rung: int
    factor: int

    def decide(self, curves: Curves, trial: str, epoch: int) -> Decision | None:
        """Compare at first_rung * factor^k."""
        if not self._is_rung(epoch):
            return None
        at_rung = {t: c.values[epoch] for t, c in curves.items() if epoch in c.values}
        ordered = sorted(at_rung.values())
        cutoff = ordered[max(len(ordered) // self.factor, 1) - 1]
        return _compare(f"asha/{self.factor}", at_rung, trial, epoch, cutoff)

    def _is_rung(self, epoch: int) -> bool:
        rung = self.first_rung
        while rung < epoch:
            rung *= self.factor
        return rung == epoch


@dataclass(frozen=True)
class MedianRule:
    """Stop a trial whose best value so far is worse than the median of complete trials.

    The median is of their values at the same epoch; every epoch from `first_rung` on is a rung,
    once `min_trials` are complete.
    """

    first_rung: int
    min_trials: int

    def decide(self, curves: Curves, trial: str, epoch: int) -> Decision | None:
        """Compare the best value so far with the median of complete trials at this epoch."""
        others = {
            t: c.values[epoch]
            for t, c in curves.items()
            if c.is_complete and epoch in c.values and t != trial
        }
        if epoch < self.first_rung or len(others) < self.min_trials:
            return None
        own = min(value for e, value in curves[trial].values.items() if 0 < e <= epoch)
        cutoff = statistics.median(others.values())
        return _compare("median", others | {trial: own}, trial, epoch, cutoff)


@dataclass(frozen=True)
class NeverStop:
    """No early stopping."""

    def decide(self, curves: Curves, trial: str, epoch: int) -> Decision | None:
        """Return None."""
        return None


def first_rung(epochs: int) -> int:
    """Return the default first rung: a quarter of the phase, so that the average can matter."""
    return math.ceil(epochs / 4)


def explain(decision: Decision) -> str:
    """Return a decision to stop in one line."""
    return (
        f"stopped by {decision.rule} at epoch {decision.rung}: {decision.value:.4g}, rank "
        f"{decision.rank} of {len(decision.peers)}, cutoff {decision.cutoff:.4g}"
    )


def _compare(
    rule: str, values: Mapping[str, float], trial: str, rung: int, cutoff: float
) -> Decision:
    value = values[trial]
    return Decision(
        stop=value > cutoff,
        rule=rule,
        rung=rung,
        value=value,
        cutoff=cutoff,
        rank=1 + sum(other < value for other in values.values()),
        peers=tuple(sorted(values)),
    )
