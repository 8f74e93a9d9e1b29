"""A trial as Optuna knows it."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import optuna
from optuna.distributions import json_to_distribution
from optuna.trial import FrozenTrial, TrialState

from ss3d.study.parameter import Value
from ss3d.trial.records import EpochReport, TrialResult, TrialSpec

_STATES = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


def frozen_trial(spec: TrialSpec, result: TrialResult | None, metric: str) -> FrozenTrial:
    """Return a trial of the store as Optuna knows it; running until there is a result."""
    state = _STATES[result.state] if result else TrialState.RUNNING
    curve = curve_of(result.reports, metric) if result else {}
    value = result.values.get(metric) if result and state.is_finished() else None
    with quiet():
        return optuna.trial.create_trial(
            state=state,
            value=None if state is TrialState.FAIL else value,
            params=spec.attrs["internal"],
            distributions={p: json_to_distribution(d) for p, d in spec.distributions.items()},
            intermediate_values=curve,
            user_attrs={"trial": spec.trial, "stratum": spec.stratum},
            system_attrs=spec.attrs["system"],
        )


def curve_of(reports: Iterable[EpochReport], metric: str) -> dict[int, float]:
    """Return the objective of the teacher-student epochs by epoch; epoch 0 is not one."""
    return {
        report.epoch: report.metrics[metric]
        for report in reports
        if report.phase == "semi" and report.epoch > 0 and metric in report.metrics
    }


def without(trial: FrozenTrial, stratum: Mapping[str, Value]) -> FrozenTrial:
    """Return a trial without the values that its stratum fixes: the sampler must not model them."""
    if not stratum:
        return trial
    return optuna.trial.create_trial(
        state=trial.state,
        value=trial.value,
        params={p: v for p, v in trial.params.items() if p not in stratum},
        distributions={p: d for p, d in trial.distributions.items() if p not in stratum},
        intermediate_values=trial.intermediate_values,
        system_attrs=trial.system_attrs,
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Optuna's notices about experimental features that we chose on purpose."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield
