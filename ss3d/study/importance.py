"""Which parameters decided who was best: PED-ANOVA on the trials of a stratum.

PED-ANOVA compares where the best trials lie with where all of them lie, parameter by parameter
(Watanabe et al. 2023). It needs ranks alone, so a pruned trial counts with the value that it was
stopped at. Shares sum to 1 even where nothing matters; so each is held against what shuffled
values give.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from ss3d.errors import ConfigError
from ss3d.report.leaderboard import by_stratum, objective_of
from ss3d.study.frozen import frozen_trial
from ss3d.trial.objectives import Objective, Objectives
from ss3d.trial.records import StudyRecord, TrialRecord

MIN_TRIALS = 10
"""Ended trials of a stratum below which nothing is said."""
_TOP_SHARE, _MIN_TOP = 0.1, 5
_NUM_SHUFFLES = 100
_CHANCE = 0.95
_SEED = 0


@dataclass(frozen=True)
class ParameterImportance:
    """How much of the difference between the best trials and all trials a parameter explains."""

    path: str
    share: float
    """From 0 to 1; the shares of a stratum sum to 1."""
    is_clear: bool
    """Whether shuffled values give less, 95 times in 100."""


@dataclass(frozen=True)
class StratumImportance:
    """The importances within one stratum."""

    stratum: dict[str, Any]
    num_trials: int
    """That it rests on: complete and pruned ones."""
    num_top: int
    """Of them, that count as the best."""
    parameters: tuple[ParameterImportance, ...]
    """The most important first."""


def importances(study: StudyRecord) -> list[StratumImportance]:
    """Return the importances within each stratum that has enough trials.

    Raises:
        ConfigError: no stratum has enough trials, or nothing varies in those that have.
    """
    objective = objective_of(study.spec)
    usable = {
        name: trials
        for name, group in by_stratum(study.trials).items()
        if (trials := [t for t in group if _has_value(t, objective)])
    }
    largest = max(map(len, usable.values()), default=0)
    if largest < MIN_TRIALS:
        raise ConfigError(
            f"importance: study {study.name} has {largest} complete or pruned trials in its "
            f"largest stratum, expected at least {MIN_TRIALS}; let it run further"
        )
    enough = [trials for trials in usable.values() if len(trials) >= MIN_TRIALS]
    found = [_importance(trials, objective) for trials in enough]
    if not any(part.parameters for part in found):
        raise ConfigError(
            f"importance: nothing varies within a stratum of study {study.name}; compare its "
            "strata by `ss3d trials` or its arms by `ss3d gains`"
        )
    return [part for part in found if part.parameters]


def _has_value(trial: TrialRecord, objective: Objective) -> bool:
    if trial.result is None or trial.state not in ("complete", "pruned"):
        return False
    return math.isfinite(trial.result.values.get(objective.metric, math.nan))


def _importance(trials: Sequence[TrialRecord], objective: Objective) -> StratumImportance:
    stratum = trials[0].spec.stratum
    frozen = [frozen_trial(trial.spec, trial.result, Objectives((objective,))) for trial in trials]
    varied = [
        path
        for path in dict.fromkeys(path for trial in frozen for path in trial.params)
        if path not in stratum and len({str(trial.params.get(path)) for trial in frozen}) > 1
    ]
    losses = np.array([objective.order(trial.value) for trial in frozen if trial.value is not None])
    num_top = max(_MIN_TOP, math.ceil(_TOP_SHARE * len(frozen)))
    parameters = _shares(_finished(frozen, varied), losses, num_top) if varied else ()
    return StratumImportance(dict(stratum), len(trials), num_top, parameters)


def _finished(trials: Sequence[FrozenTrial], paths: Sequence[str]) -> optuna.Study:
    """Return a study of these trials with some of their parameters, all of them complete."""
    with _quiet():
        study = optuna.create_study()
        study.add_trials(
            optuna.trial.create_trial(
                state=TrialState.COMPLETE,
                value=trial.value,
                params={path: trial.params[path] for path in paths if path in trial.params},
                distributions={p: d for p, d in trial.distributions.items() if p in paths},
            )
            for trial in trials
        )
    return study


def _shares(
    study: optuna.Study, losses: NDArray[np.float64], num_top: int
) -> tuple[ParameterImportance, ...]:
    raw = _divergences(study, losses, num_top)
    random = np.random.default_rng(_SEED)
    shuffled = [
        _divergences(study, random.permutation(losses), num_top) for _ in range(_NUM_SHUFFLES)
    ]
    total = math.fsum(raw.values())
    found = [
        ParameterImportance(
            path=path,
            share=value / total if total > 0 else 1 / len(raw),
            is_clear=bool(value > np.quantile([other[path] for other in shuffled], _CHANCE)),
        )
        for path, value in raw.items()
    ]
    return tuple(sorted(found, key=lambda parameter: (-parameter.share, parameter.path)))


def _divergences(
    study: optuna.Study, losses: NDArray[np.float64], num_top: int
) -> dict[str, float]:
    """Return how far the best trials' values lie from all trials' values, by parameter.

    Args:
        study: of n trials.
        losses: (n,), less is better.
        num_top: how many are the best; half a trial less, so that rounding makes none more.
    """
    evaluator = PedAnovaImportanceEvaluator(target_quantile=(num_top - 0.5) / len(losses))
    with _quiet():
        return get_param_importances(
            study,
            evaluator=evaluator,
            target=lambda trial: float(losses[trial.number]),
            normalize=False,
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Optuna's notices: on its trials, on `normalize`, and that less is better."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
