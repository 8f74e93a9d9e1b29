"""Columns by the value of a parameter: the best trial of each labeled ratio, switch or width."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ss3d.config import canonical_json, unknown_path
from ss3d.errors import ConfigError
from ss3d.report.leaderboard import objective_values, short
from ss3d.trial.objectives import objectives_of
from ss3d.trial.records import StudyRecord

RATIO = "data.labeled_ratio"


@dataclass(frozen=True)
class Candidate:
    """A trial that may become a column."""

    source: str
    """STUDY/t00017 or a directory."""
    config: Mapping[str, Any]
    """Dotted path to value; arm and replicate, where there are some."""
    value: float
    """Objective, smaller is better; NaN last."""


def candidates_of(study: StudyRecord) -> list[Candidate]:
    """Return the complete, feasible trials of a study."""
    objectives = objectives_of(study.spec)
    primary = objectives.primary
    found = [(t, objective_values(t, objectives)) for t in study.trials if t.state == "complete"]
    return [
        Candidate(
            source=f"{study.name}/{trial.spec.trial}",
            config=trial.spec.config.flatten() | trial.spec.params,
            value=primary.order(values.get(primary.metric, math.nan)),
        )
        for trial, values in found
        if objectives.is_feasible(values)
    ]


def best_by(
    candidates: Iterable[Candidate], path: str, where: Mapping[str, Any]
) -> dict[str, Candidate]:
    """Return the best candidate of every value of a parameter, under a label of the value.

    Args:
        candidates: complete trials.
        path: dotted path of the parameter.
        where: dotted paths and values that a candidate must have.

    Raises:
        ConfigError: no candidate is left, or there is no such parameter.
    """
    groups: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        for name in (path, *where):
            if name not in candidate.config:
                raise ConfigError(unknown_path(name))
        if all(_same(candidate.config[name], value) for name, value in where.items()):
            groups.setdefault(canonical_json(candidate.config[path]), []).append(candidate)
    if not groups:
        asked = ", ".join(f"{name}={value}" for name, value in where.items())
        raise ConfigError(f"figure: no complete trial{f' with {asked}' if asked else ''}")
    best = [min(group, key=_rank) for group in groups.values()]
    best.sort(key=lambda candidate: _sort_key(candidate.config[path]))
    return {_label(path, candidate.config[path]): candidate for candidate in best}


def _rank(candidate: Candidate) -> tuple[bool, float, str]:
    return math.isnan(candidate.value), candidate.value, candidate.source


def _same(found: object, wanted: object) -> bool:
    return canonical_json(found) == canonical_json(wanted) or found == wanted


def _sort_key(value: Any) -> tuple[int, float, str]:
    """Order numbers by size, before everything else."""
    is_number = isinstance(value, int | float)
    return (0, float(value), "") if is_number else (1, 0.0, str(value))


def _label(path: str, value: Any) -> str:
    if path == RATIO:
        return f"{100 * value:g} % labeled"
    return f"{path.rpartition('.')[2]} = {short(value)}"
