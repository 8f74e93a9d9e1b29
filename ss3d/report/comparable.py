"""Which trials of two studies may be compared: same objective, same data, same stratum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ss3d.errors import ConfigError, RefusedError
from ss3d.report.leaderboard import objective_of
from ss3d.trial.objectives import Objective
from ss3d.trial.records import StudyRecord, TrialRecord

_RATIO = "data.labeled_ratio"


def same_objective(first: StudyRecord, second: StudyRecord) -> Objective:
    """Return the objective of two studies.

    Raises:
        RefusedError: it differs, or the data do.
    """
    objectives = [objective_of(study.spec) for study in (first, second)]
    hashes = [str(study.spec.get("data", {}).get("content_hash")) for study in (first, second)]
    if objectives[0] != objectives[1]:
        words = [f"{'mini' if o.minimize else 'maxi'}mises {o.metric}" for o in objectives]
        raise RefusedError(
            f"studies search for different things: {first.name} {words[0]}, "
            f"{second.name} {words[1]}; compare studies of one objective"
        )
    if hashes[0] != hashes[1]:
        raise RefusedError(
            f"studies have different data: {first.name} has {hashes[0][:12]}…, "
            f"{second.name} has {hashes[1][:12]}…; values on other models say nothing"
        )
    return objectives[0]


def keep_stratum(
    studies: Sequence[StudyRecord], where: Mapping[str, Any]
) -> list[list[TrialRecord]]:
    """Return the trials of each study that have the values asked for, all of one stratum.

    Args:
        studies: with their trials.
        where: as `keep_values` takes them.

    Raises:
        ConfigError: no study has such a path.
        RefusedError: trials of several strata are left.
    """
    kept = keep_values(studies, where)
    _check_stratum(studies, [trial for part in kept for trial in part])
    return kept


def keep_values(
    studies: Sequence[StudyRecord], where: Mapping[str, Any]
) -> list[list[TrialRecord]]:
    """Return the trials of each study that have the values asked for.

    A study without arms or replicates takes no notice of values for them.

    Args:
        studies: with their trials.
        where: values by the path of a parameter, `arm` or `replicate`; text may name a number.

    Raises:
        ConfigError: no study has such a path.
    """
    found = [[(trial, _values(trial)) for trial in study.trials] for study in studies]
    known = [{path for _, values in pairs for path in values} for pairs in found]
    for path in where:
        if not any(path in paths for paths in known):
            raise ConfigError(f"--where: {path} is no parameter of {_names(studies)}")
    return [
        [
            trial
            for trial, values in pairs
            if all(str(values.get(p)) == str(v) for p, v in where.items() if p in paths)
        ]
        for pairs, paths in zip(found, known, strict=True)
    ]


def _check_stratum(studies: Sequence[StudyRecord], trials: Sequence[TrialRecord]) -> None:
    """Refuse trials of several strata; the labeled ratio always makes one: labels are a cost."""
    paths = dict.fromkeys([_RATIO, *(path for trial in trials for path in trial.spec.stratum)])
    for path in paths:
        known = [values[path] for trial in trials if path in (values := _values(trial))]
        if len(found := dict.fromkeys(map(str, known))) > 1:
            raise RefusedError(
                f"{_names(studies)} have trials of several strata, which are not compared: {path} "
                f"is {', '.join(found)}; say which, e.g. --where {path}={known[0]}"
            )


def _values(trial: TrialRecord) -> dict[str, Any]:
    return {**trial.spec.config.flatten(), **trial.spec.stratum}


def _names(studies: Sequence[StudyRecord]) -> str:
    return f"studies {' and '.join(study.name for study in studies)}"
