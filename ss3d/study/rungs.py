"""Who goes on: pure functions on curves, which can explain themselves.

Epochs are those of the teacher-student phase; epoch 0, the pretrained value, is never compared.
A value that is no number is worse than all others.
"""

from __future__ import annotations

import bisect
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

from ss3d.study.cohort import Cohort, Curve, place
from ss3d.trial.dominance import fronts, places


@dataclass(frozen=True)
class Difference:
    """How much worse a trial is than the best one, told model by model."""

    best: str
    """The trial that it was compared with."""
    mean: float
    """Over models, unit of `cd_l1`; positive: the trial is worse."""
    low: float
    """Lower end of the one-sided interval of the mean; above 0 the trial is stopped."""
    confidence: float
    """Of the interval."""
    p_value: float
    """Of the one-sided test."""
    num_models: int


@dataclass(frozen=True)
class Decision:
    """What a rule says of a trial at an epoch, and from what."""

    stop: bool
    rule: str
    rung: int
    """Epoch at which trials were compared."""
    value: float
    """The objective; where several objectives or constraints count, the place among the peers."""
    cutoff: float
    """Worst value that goes on; of patience, what the value had to be better than."""
    rank: int
    """Place of the trial among all that were compared, from 1."""
    num_peers: int
    """How many trials were compared, itself included. Naming them all would make every decision as
    large as the study, and a study's decisions quadratic in its trials."""
    difference: Difference | None = None
    """To the best trial; of the paired test alone."""
    front: int | None = None
    """The trial's non-dominated rank among its peers, from 1, where places are compared."""

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any]) -> Self:
        """Read what `asdict` made of a decision.

        Older decisions lack some fields, and name their peers.

        Raises:
            KeyError: a field is missing.
            TypeError: a field is unknown, or not of its type.
        """
        told = tree.get("difference")
        fields: dict[str, Any] = {**tree, "difference": Difference(**told) if told else None}
        if "peers" in fields:
            fields["num_peers"] = len(fields.pop("peers"))
        return cls(**fields)


_PATIENCE = "patience/"
BY_USER = "user"
"""Rule of a decision that `ss3d stop` asked for."""


class Rule(Protocol):
    """A stopping rule."""

    def decide(self, cohort: Cohort, trial: str, epoch: int) -> Decision | None:
        """Judge a trial by the curves of its stratum and bracket, its own included.

        Returns:
            None where the epoch is no rung.
        """

    def bracket(self, trial: str) -> int:
        """Return the bracket of a trial, from 0: it is compared with trials of its bracket only."""
        return 0


@dataclass(frozen=True)
class SuccessiveHalving(Rule):
    """Asynchronous successive halving: of all that reached a rung, the best 1/factor go on.

    With fewer than `factor` trials at a rung the best one goes on (Optuna's rule). Decisions are
    made at arrival and never taken back. Where several objectives or constraints count, the best
    are the first in NSGA-II's order: by front, and within a front where it is least crowded.
    """

    first_rung: int
    factor: int

    def decide(self, cohort: Cohort, trial: str, epoch: int) -> Decision | None:
        """Compare at first_rung * factor^k."""
        if not self.is_rung(epoch):
            return None
        value, ordered, front = cohort[trial].values[epoch], cohort.ordered(epoch), None
        if cohort[trial].outcomes:
            outcomes = {t: c.outcomes[epoch] for t, c in cohort.items() if epoch in c.outcomes}
            found = fronts(outcomes)
            at_rung = places(outcomes, found)
            value, ordered = at_rung[trial], sorted(map(place, at_rung.values()))
            front = found[trial]
        cutoff = ordered[max(len(ordered) // self.factor, 1) - 1]
        decision = compare(f"asha/{self.factor}", epoch, value, ordered, cutoff)
        return replace(decision, front=front)

    def is_rung(self, epoch: int) -> bool:
        """Return whether trials are compared at an epoch."""
        rung = self.first_rung
        while rung < epoch:
            rung *= self.factor
        return rung == epoch


@dataclass(frozen=True)
class MedianRule(Rule):
    """Stop a trial whose best value so far is worse than the median of complete trials.

    The median is of their values at the same epoch; every epoch from `first_rung` on is a rung,
    once `min_trials` are complete.
    """

    first_rung: int
    min_trials: int

    def decide(self, cohort: Cohort, trial: str, epoch: int) -> Decision | None:
        """Compare the best value so far with the median of complete trials at this epoch."""
        if epoch < self.first_rung:
            return None
        others = [
            c.values[epoch]
            for t, c in cohort.items()
            if c.is_complete and t != trial and not math.isnan(c.values.get(epoch, math.nan))
        ]
        if len(others) < self.min_trials:
            return None
        own = _best(cohort[trial], 0, epoch)
        ordered = sorted([*others, place(own)])
        return compare("median", epoch, own, ordered, statistics.median(others))


@dataclass(frozen=True)
class Patience(Rule):
    """Stop a trial whose best value of the last `epochs` is no better than before.

    Better means by more than `min_delta`. Other trials do not matter.
    """

    first_rung: int
    epochs: int
    min_delta: float

    def decide(self, cohort: Cohort, trial: str, epoch: int) -> Decision | None:
        """Compare the last epochs with those before, at every epoch from `first_rung` on."""
        start = epoch - self.epochs
        if epoch < self.first_rung or not any(0 < e <= start for e in cohort[trial].values):
            return None
        value = _best(cohort[trial], start, epoch)
        cutoff = _best(cohort[trial], 0, start) - self.min_delta
        return Decision(
            stop=not value < place(cutoff),
            rule=f"{_PATIENCE}{self.epochs}",
            rung=epoch,
            value=value,
            cutoff=cutoff,
            rank=1,
            num_peers=1,
        )


@dataclass(frozen=True)
class NeverStop(Rule):
    """No early stopping."""

    def decide(self, cohort: Cohort, trial: str, epoch: int) -> Decision | None:
        """Return None."""
        return None


def first_rung(epochs: int) -> int:
    """Return the default first rung: a quarter of the phase, so that the average can matter."""
    return math.ceil(epochs / 4)


def explain(decision: Decision) -> str:
    """Return a decision to stop in one line."""
    if decision.rule == BY_USER:
        return f"stopped by the user {at_epoch(decision.rung)}"
    start = f"stopped by {decision.rule} at epoch {decision.rung}: "
    start += f"{decision.value:.4g}" if decision.front is None else f"front {decision.front}"
    if decision.difference:
        return f"{start}, {compare_models(decision.difference)}"
    if decision.rule.startswith(_PATIENCE):
        epochs = decision.rule.removeprefix(_PATIENCE)
        return (
            f"{start} at best in the last {epochs} epochs, had to be better than "
            f"{decision.cutoff:.4g}"
        )
    rank = f"rank {decision.rank} of {decision.num_peers}"
    unit = "" if decision.front is None else "rank "
    return f"{start}, {rank}, cutoff {unit}{decision.cutoff:.4g}"


def compare_models(difference: Difference) -> str:
    """Return in words how a trial differs from the best one."""
    way = "worse" if difference.mean > 0 else "better"
    return (
        f"{abs(difference.mean):.3g} {way} than {difference.best} on {difference.num_models} "
        f"models (with {100 * difference.confidence:.3g} % confidence worse by "
        f"{difference.low:.3g} at least, p = {difference.p_value:.2g})"
    )


def by_user(trial: str, epoch: int, value: float) -> Decision:
    """Return the decision to stop a trial because the user wants it.

    Args:
        trial: that is stopped.
        epoch: the last one that counts; 0 if it has none.
        value: of the objective there.
    """
    return Decision(True, BY_USER, epoch, value, cutoff=value, rank=1, num_peers=1)


def at_epoch(epoch: int) -> str:
    """Return when a trial was stopped, in words."""
    return f"at epoch {epoch}" if epoch else "before its first epoch"


def compare(
    rule: str, rung: int, value: float, ordered: Sequence[float], cutoff: float
) -> Decision:
    """Return the decision about a value at a rung: up to the cutoff it goes on.

    Args:
        rule: that decides.
        rung: epoch.
        value: of the trial.
        ordered: values of all that are compared, its own included, the best first.
        cutoff: worst value that goes on.
    """
    return Decision(
        stop=not value <= cutoff,
        rule=rule,
        rung=rung,
        value=value,
        cutoff=cutoff,
        rank=1 + bisect.bisect_left(ordered, place(value)),
        num_peers=len(ordered),
    )


def _best(curve: Curve, after: int, last: int) -> float:
    """Return the best value of the epochs after + 1 .. last; NaN if none is a number."""
    found = [v for e, v in curve.values.items() if after < e <= last and not math.isnan(v)]
    return min(found, default=math.nan)
