"""Who is best: trials ranked by the study's objectives, within their stratum."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ss3d.config import canonical_json
from ss3d.trial.dominance import fronts
from ss3d.trial.objectives import Objective, Objectives, objectives_of
from ss3d.trial.records import StudyRecord, TrialRecord, TrialStatus

if TYPE_CHECKING:
    from ss3d.report.paired_gain import Verdict

COLORS: dict[TrialStatus, str] = {
    "complete": "green",
    "pruned": "yellow",
    "failed": "red",
    "running": "cyan",
}

_PLACES: tuple[TrialStatus, ...] = ("complete", "pruned", "running", "failed")
_MANY = 10_000
"""From here on values are shown without decimals."""

CODES = {
    "data.labeled_ratio": "r",
    "model.num_heads": "h",
    "semi.ema_decay": "α",
    "semi.aug_strength": "s",
    "semi.label_aug_strength": "l",
    "semi.fp_magnitude": "m",
}
"""Short codes of the parameters that most studies are about, in the order they are shown."""

MARKS: dict[Verdict, str] = {
    "better": "[green]+[/]",
    "worse": "[red]-[/]",
    "not distinguishable": "[dim]=[/]",
}


@dataclass(frozen=True)
class Row:
    """One line of a leaderboard."""

    rank: int | None
    """From 1 among the complete, feasible trials of the stratum; None for others."""
    trial: str
    state: TrialStatus
    stratum: Mapping[str, Any]
    params: Mapping[str, Any]
    value: float | None
    """The primary objective at the last epoch that is known."""
    gain: float | None
    """Pretrained value minus value: what the teacher-student phase brought."""
    epochs: int
    seconds: float
    reason: str
    values: Mapping[str, float] = field(default_factory=dict)
    """Of all objectives and of what constraints are about, as far as they are known."""
    front: int | None = None
    """With several objectives: the non-dominated rank of a trial that has a rank, from 1."""
    is_feasible: bool | None = None
    """With constraints: whether the values keep them; None as long as there are none."""


def objective_of(spec: Mapping[str, Any]) -> Objective:
    """Return the primary objective that study.json states."""
    return objectives_of(spec).primary


def leaderboard(study: StudyRecord) -> list[Row]:
    """Return all trials by stratum, the best first.

    Complete ones come by front, within a front by the primary objective, and last those that
    violate a constraint, the least first; then pruned, running and failed ones.
    """
    objectives = objectives_of(study.spec)
    rows = []
    for trials in by_stratum(study.trials).values():
        found = [_row(trial, objectives) for trial in trials]
        front = fronts(
            {row.trial: objectives.outcome(row.values) for row in found if row.state == "complete"}
        )
        found.sort(key=lambda row: (front.get(row.trial, 0), *_order(row, objectives.primary)))
        found.sort(key=lambda row: _PLACES.index(row.state))
        ranks = itertools.count(1)
        for row in found:
            if row.state == "complete" and row.is_feasible is not False:
                own = front[row.trial] if objectives.are_several else None
                row = replace(row, rank=next(ranks), front=own)
            rows.append(row)
    return rows


def standing(row: Row, objectives: Objectives) -> dict[str, Any]:
    """Return `front` of several objectives and `feasible` under constraints, where they apply."""
    front = {"front": row.front} if objectives.are_several else {}
    return front | ({"feasible": row.is_feasible} if objectives.constraints else {})


def by_stratum(trials: Sequence[TrialRecord]) -> dict[str, list[TrialRecord]]:
    """Return trials that may be compared with each other, under their stratum's JSON."""
    groups: dict[str, list[TrialRecord]] = {}
    for trial in trials:
        groups.setdefault(canonical_json(trial.spec.stratum), []).append(trial)
    return dict(sorted(groups.items()))


def objective_value(trial: TrialRecord, objective: Objective) -> float | None:
    """Return the objective of the result, or of the newest report of a trial without one."""
    return objective_values(trial, Objectives((objective,))).get(objective.metric)


def objective_values(trial: TrialRecord, objectives: Objectives) -> dict[str, float]:
    """Return what the result, or the newest report, says of objectives and constraints."""
    last = objectives.measured(trial.reports[-1]) if trial.reports else {}
    of_result = trial.result.values if trial.result else {}
    return last | {name: of_result[name] for name in objectives.metrics if name in of_result}


def describe_values(values: Mapping[str, Any], names: Mapping[str, str] = {}) -> str:
    """Return parameters in one short line, headline parameters first by their codes.

    Args:
        values: by dotted path.
        names: of the others; by default the last part of their paths.
    """
    codes = [f"{code}{short(values[path], 2)}" for path, code in CODES.items() if path in values]
    others = [
        f"{names.get(path, path.rpartition('.')[2])}={short(value)}"
        for path, value in sorted(values.items())
        if path not in CODES
    ]
    return " ".join(codes + others)


def duration(seconds: float) -> str:
    """Return seconds as a person says them: 42 s, 3 min 05 s, 2 h 07 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def short(value: Any, digits: int = 3) -> str:
    """Return a value in few characters; a decay near 1 keeps two digits of its distance to 1."""
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)
    if 0.9 < value < 1:
        return f"{value:.{1 - math.floor(math.log10(1 - value))}f}".rstrip("0")
    return f"{value:.{digits}g}"


def number(value: float | None) -> str:
    """Return a value of a metric; empty if it is not known."""
    if value is None:
        return ""
    return f"{value:.3f}" if abs(value) < _MANY else f"{value:,.0f}"


def _order(row: Row, objective: Objective) -> tuple[float, str]:
    return math.inf if row.value is None else objective.order(row.value), row.trial


def _row(trial: TrialRecord, objectives: Objectives) -> Row:
    """Return a trial without a rank."""
    result = trial.result
    values = objective_values(trial, objectives)
    is_judged = values and objectives.constraints
    seconds = sum(report.system.get("epoch_s", 0.0) for report in trial.reports)
    return Row(
        rank=None,
        trial=trial.spec.trial,
        state=trial.state,
        stratum=trial.spec.stratum,
        params=trial.spec.params,
        value=values.get(objectives.primary.metric),
        gain=_last(trial, "val/gain"),
        epochs=trial.reports[-1].epoch if trial.reports else 0,
        seconds=result.seconds if result else seconds,
        reason=result.reason if result else "",
        values=values,
        is_feasible=objectives.is_feasible(values) if is_judged else None,
    )


def _last(trial: TrialRecord, metric: str) -> float | None:
    return trial.reports[-1].metrics.get(metric) if trial.reports else None
