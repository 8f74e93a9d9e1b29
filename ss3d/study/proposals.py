"""What to try next: a pure function of the space, the trials so far and the trial's number.

The sampler is made anew for every question, seeded by (study seed, trial number), and sees only
trials of the same stratum. So a study that was rebuilt from the store proposes what the one that
died would have proposed.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
    json_to_distribution,
)
from optuna.trial import FrozenTrial, TrialState

from ss3d.errors import ConfigError
from ss3d.study.parameter import Choices, FloatRange, IntRange, Range, Value
from ss3d.study.space import Space
from ss3d.study.tables import Random, Tpe
from ss3d.trial.records import EpochReport, TrialResult, TrialSpec

_STATES = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}

_TRIES = 200
"""How often the sampler is asked for values that fit together."""


@dataclass(frozen=True)
class Proposal:
    """The values of one trial, as the configuration wants them and as Optuna keeps them."""

    params: dict[str, Value]
    internal: dict[str, Value]
    """Optuna's own values: 1 - x for `log1m`."""
    distributions: dict[str, str]
    system_attrs: dict[str, Any]


def propose(space: Space, history: Sequence[FrozenTrial], number: int) -> Proposal:
    """Return the values of a trial.

    Args:
        space: the search space.
        history: the study's trials, as `frozen_trial` makes them: finished ones and running ones.
        number: of the trial; decides its stratum and the sampler's seed.

    Raises:
        ConfigError: the sampler finds no values that fit together.
    """
    stratum = space.stratum(number)
    with _quiet():
        study = optuna.create_study(
            direction=space.objective.direction, sampler=_sampler(space, number)
        )
        if not isinstance(space.sampler, Random):  # it learns nothing
            study.add_trials([_without(t, stratum) for t in history if _is_in(t, stratum)])
        free = {p.path: _distribution(p.range) for p in space.parameters if p.path not in stratum}
        asked = _ask_valid(space, study, free, stratum)
    ranges = {p.path: p.range for p in space.parameters}
    internal = {**asked.params, **stratum}
    all_distributions = {path: _distribution(ranges[path]) for path in internal}
    return Proposal(
        params=_values(space, internal),
        internal={path: internal[path] for path in ranges},
        distributions={path: distribution_to_json(d) for path, d in all_distributions.items()},
        system_attrs=dict(study.get_trials(deepcopy=False)[-1].system_attrs),
    )


def frozen_trial(spec: TrialSpec, result: TrialResult | None, metric: str) -> FrozenTrial:
    """Return a trial of the store as Optuna knows it; running until there is a result."""
    state = _STATES[result.state] if result else TrialState.RUNNING
    curve = curve_of(result.reports, metric) if result else {}
    value = result.values.get(metric) if result and state.is_finished() else None
    with _quiet():
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


def _ask_valid(
    space: Space,
    study: optuna.Study,
    free: dict[str, BaseDistribution],
    stratum: Mapping[str, Value],
) -> optuna.Trial:
    """Ask until the values fit together; what does not is told as bad, and is forgotten with it.

    Values and pairs of them were checked when the space was read; more than two at a time were not.
    """
    problem = None
    for _ in range(_TRIES):
        asked = study.ask(free)
        try:
            space.configure(_values(space, {**asked.params, **stratum}))
        except ConfigError as error:
            problem = error
            study.tell(asked, state=TrialState.PRUNED)
        else:
            return asked
    raise ConfigError(
        f"study {space.name}: no values that fit together in {_TRIES} tries: {problem}"
    )


def _values(space: Space, internal: Mapping[str, Value]) -> dict[str, Value]:
    """Return the configuration's values of Optuna's, in the order of the space."""
    return {p.path: _to_value(p.range, internal[p.path]) for p in space.parameters}


def _sampler(space: Space, number: int) -> optuna.samplers.BaseSampler:
    digest = hashlib.sha256(f"{space.seed}/{number}".encode()).digest()
    seed = int.from_bytes(digest[:4], "big")
    match space.sampler:
        case Tpe() as tpe:
            return optuna.samplers.TPESampler(seed=seed, **tpe.model_dump(exclude={"name"}))
        case Random():
            return optuna.samplers.RandomSampler(seed=seed)


def _distribution(of: Range) -> BaseDistribution:
    """Return Optuna's distribution; that of `log1m` is of 1 - x."""
    match of:
        case FloatRange(low, high, "log1m"):
            return FloatDistribution(1 - high, 1 - low, log=True)
        case FloatRange(low, high, scale, step):
            return FloatDistribution(low, high, log=scale == "log", step=step)
        case IntRange(low, high, scale, step):
            return IntDistribution(low, high, log=scale == "log", step=step or 1)
        case Choices(choices):
            return CategoricalDistribution(choices)


def _to_value(of: Range, internal: Value) -> Value:
    """Return the configuration's value of Optuna's; rounding never leaves the range."""
    match of:
        case FloatRange(low, high, "log1m"):
            return min(max(1 - float(internal), low), high)
        case _:
            return internal


def _is_in(trial: FrozenTrial, stratum: Mapping[str, Value]) -> bool:
    return all(trial.params.get(path) == value for path, value in stratum.items())


def _without(trial: FrozenTrial, stratum: Mapping[str, Value]) -> FrozenTrial:
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
def _quiet() -> Iterator[None]:
    """Silence Optuna's notices about experimental features that we chose on purpose."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield
