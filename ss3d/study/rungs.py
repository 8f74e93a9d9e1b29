"""Who goes on: pure functions on curves, which can explain themselves.

Epochs are those of the teacher-student phase; epoch 0, the pretrained value, is never compared.
A value that is no number is worse than all others.
"""

from __future__ import annotations

import bisect
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
    """Worst value that goes on; of patience, what the value had to be better than."""
    rank: int
    """Place of the trial among all that were compared, from 1."""
    peers: tuple[str, ...]
    """The trials it was compared with, itself included."""


Curves = Mapping[str, Curve]

_PATIENCE = "patience/"


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
        if not self.is_rung(epoch):
            return None
        at_rung = {t: c.values[epoch] for t, c in curves.items() if epoch in c.values}
        ordered = sorted(_place(value) for value in at_rung.values())
        cutoff = ordered[max(len(ordered) // self.factor, 1) - 1]
        return _compare(f"asha/{self.factor}", at_rung, trial, epoch, cutoff)

    def is_rung(self, epoch: int) -> bool:
        """Return whether trials are compared at an epoch."""
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
        if epoch < self.first_rung:
            return None
        others = {
            t: c.values[epoch]
            for t, c in curves.items()
            if c.is_complete and t != trial and not math.isnan(c.values.get(epoch, math.nan))
        }
        if len(others) < self.min_trials:
            return None
        own = _best(curves[trial], 0, epoch)
        cutoff = statistics.median(others.values())
        return _compare("median", others | {trial: own}, trial, epoch, cutoff)


@dataclass(frozen=True)
class Patience:
    """Stop a trial whose best value of the last `epochs` is no better than before.

    Better means by more than `min_delta`. Other trials do not matter.
    """

    first_rung: int
    epochs: int
    min_delta: float

    def decide(self, curves: Curves, trial: str, epoch: int) -> Decision | None:
        """Compare the last epochs with those before, at every epoch from `first_rung` on."""
        start = epoch - self.epochs
        if epoch < self.first_rung or not any(0 < e <= start for e in curves[trial].values):
            return None
        value = _best(curves[trial], start, epoch)
        cutoff = _best(curves[trial], 0, start) - self.min_delta
        return Decision(
            stop=not value < _place(cutoff),
            rule=f"{_PATIENCE}{self.epochs}",
            rung=epoch,
            value=value,
            cutoff=cutoff,
            rank=1,
            peers=(trial,),
        )


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
    start = f"stopped by {decision.rule} at epoch {decision.rung}: {decision.value:.4g}"
    if decision.rule.startswith(_PATIENCE):
        epochs = decision.rule.removeprefix(_PATIENCE)
        return (
            f"{start} at best in the last {epochs} epochs, had to be better than "
            f"{decision.cutoff:.4g}"
        )
    rank = f"rank {decision.rank} of {len(decision.peers)}"
    return f"{start}, {rank}, cutoff {decision.cutoff:.4g}"


def _compare(
    rule: str, values: Mapping[str, float], trial: str, rung: int, cutoff: float
) -> Decision:
    value = values[trial]
    return Decision(
        stop=not value <= cutoff,
        rule=rule,
        rung=rung,
        value=value,
        cutoff=cutoff,
        rank=1 + bisect.bisect_left(sorted(map(_place, values.values())), _place(value)),
        peers=tuple(sorted(values)),
    )


def _best(curve: Curve, after: int, last: int) -> float:
    """Return the best value of the epochs after + 1 .. last; NaN if none is a number."""
    found = [v for e, v in curve.values.items() if after < e <= last and not math.isnan(v)]
    return min(found, default=math.nan)


def _place(value: float) -> float:
    """Return what a value is sorted by."""
    return math.inf if math.isnan(value) else value
