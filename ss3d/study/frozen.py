"""A trial as Optuna knows it."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import optuna
from optuna.distributions import json_to_distribution
from optuna.trial import FrozenTrial, TrialState

from ss3d.study.parameter import Value
from ss3d.trial.dominance import Outcome
from ss3d.trial.objectives import Objectives
from ss3d.trial.records import EpochReport, TrialResult, TrialSpec

TOO_LARGE = "memory"
"""The constraint that a trial violates that failed for lack of memory."""
_STATES = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


def frozen_trial(
    spec: TrialSpec, result: TrialResult | None, objectives: Objectives
) -> FrozenTrial:
    """Return a trial of the store as Optuna knows it; running until there is a result.

    With several objectives it has no intermediate values: Optuna's samplers rank pruned trials by
    them, which they can for one objective only. Pruned trials then rank after all complete ones.
    """
    state = _STATES[result.state] if result else TrialState.RUNNING
    known = _known(result)
    values = [known[one.metric] for one in objectives.all if one.metric in known]
    reports = result.reports if result and not objectives.are_several else ()
    with quiet():
        return optuna.trial.create_trial(
            state=state,
            values=values or None,
            constraints=_excesses(result, objectives) if result else None,
            params=spec.attrs["internal"],
            distributions={p: json_to_distribution(d) for p, d in spec.distributions.items()},
            intermediate_values=curve_of(reports, objectives.primary.metric),
            user_attrs={"trial": spec.trial, "stratum": spec.stratum},
            system_attrs=dict(spec.attrs["system"]),  # Optuna adds the constraints to it
        )


def _known(result: TrialResult | None) -> dict[str, float]:
    return result.values if result and result.state != "failed" else {}


def _excesses(result: TrialResult, objectives: Objectives) -> dict[str, float] | None:
    """Return by how much a trial violates constraints; None if that is not known."""
    if result.is_too_large:
        return {TOO_LARGE: 1.0}
    known = _known(result)
    return objectives.excesses(known) if known else None


def curve_of(reports: Iterable[EpochReport], metric: str) -> dict[int, float]:
    """Return the objective of the teacher-student epochs by epoch; epoch 0 is not one."""
    return {
        report.epoch: value
        for report in reports
        if report.phase == "semi"
        and report.epoch > 0
        and (value := report.value(metric)) is not None
    }


def outcomes_of(reports: Iterable[EpochReport], objectives: Objectives) -> dict[int, Outcome]:
    """Return what several objectives and constraints make of the teacher-student epochs."""
    return {
        report.epoch: objectives.outcome(objectives.measured(report))
        for report in reports
        if report.phase == "semi" and report.epoch > 0
    }


def as_seen(trial: FrozenTrial, stratum: Mapping[str, Value]) -> FrozenTrial:
    """Return a trial as samplers see it: without the values that its stratum fixes.

    One that was too large is pruned and infeasible for them: of what failed they learn nothing.
    """
    is_too_large = TOO_LARGE in trial.constraints
    if not (stratum or is_too_large):
        return trial
    return optuna.trial.create_trial(
        state=TrialState.PRUNED if is_too_large else trial.state,
        values=trial.values,
        params={p: v for p, v in trial.params.items() if p not in stratum},
        distributions={p: d for p, d in trial.distributions.items() if p not in stratum},
        intermediate_values=trial.intermediate_values,
        system_attrs=trial.system_attrs,
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Optuna's notices about experimental features that we chose on purpose."""
    if optuna.logging.get_verbosity() != optuna.logging.ERROR:  # setting it takes half a ms
        optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield
