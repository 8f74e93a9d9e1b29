"""The stopping rule that a search space asks for."""

from __future__ import annotations

from collections.abc import Iterable

from ss3d.errors import RefusedError
from ss3d.study import tables
from ss3d.study.brackets import Hyperband
from ss3d.study.paired import PairedTest
from ss3d.study.rungs import (
    MedianRule,
    NeverStop,
    Patience,
    Rule,
    SuccessiveHalving,
    first_rung,
)
from ss3d.study.soundness import longest_phase
from ss3d.study.space import Space
from ss3d.trial.records import TrialRecord


def make_rule(space: Space) -> Rule:
    """Return the stopping rule that a space asks for."""
    epochs = space.base.semi.epochs
    match space.pruner:
        case tables.Asha(first_rung=first, reduction_factor=factor):
            return SuccessiveHalving(first or first_rung(epochs), factor)
        case tables.Hyperband(first_rung=first, reduction_factor=factor):
            return Hyperband(first or first_rung(epochs), factor, epochs, space.seed)
        case tables.Median(first_rung=first, min_trials=min_trials):
            return MedianRule(first or first_rung(epochs), min_trials)
        case tables.Patience(first_rung=first, epochs=patience, min_delta=min_delta):
            return Patience(first or first_rung(epochs), patience, min_delta)
        case tables.Paired(first_rung=first, factor=factor, min_trials=min_trials, alpha=alpha):
            longest = longest_phase(space.design.varied(space.base), space.parameters)
            return PairedTest(first or first_rung(longest), factor, longest, min_trials, alpha)
        case tables.NoPruner():
            return NeverStop()


def compared_epochs(space: Space) -> tuple[int, ...]:
    """Return the epochs at which the rule needs the values of single models."""
    rule = make_rule(space)
    return rule.rungs() if isinstance(rule, PairedTest) else ()


def check_compared(space: Space, trials: Iterable[TrialRecord]) -> None:
    """Refuse to replay trials under a rule that needs values of single models they do not carry.

    Raises:
        RefusedError: names a trial and the epoch.
    """
    epochs = compared_epochs(space)
    for trial in trials:
        for report in trial.reports:
            if report.phase == "semi" and report.epoch in epochs and not report.per_model:
                raise RefusedError(
                    f"{trial.spec.study}/{trial.spec.trial}: the report of epoch {report.epoch} "
                    "has no values of single models, which paired compares; only studies that ran "
                    "with paired and these rungs have them"
                )
