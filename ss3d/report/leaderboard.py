"""Who is best: trials ranked by the study's objective, within their stratum."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ss3d.config import canonical_json
from ss3d.trial.records import StudyRecord, TrialRecord, TrialStatus

if TYPE_CHECKING:
    from rich.table import Table

    from ss3d.report.paired_gain import PairedGain, Verdict

COLORS: dict[TrialStatus, str] = {
    "complete": "green",
    "pruned": "yellow",
    "failed": "red",
    "running": "cyan",
}


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
class Objective:
    """What a study searches for."""

    metric: str
    minimize: bool

    def order(self, value: float) -> float:
        """Return a key that sorts better values first and NaN last."""
        if math.isnan(value):
            return math.inf
        return value if self.minimize else -value


@dataclass(frozen=True)
class Row:
    """One line of a leaderboard."""

    rank: int | None
    """From 1 among the complete trials of the stratum; None for others."""
    trial: str
    state: TrialStatus
    stratum: Mapping[str, Any]
    params: Mapping[str, Any]
    value: float | None
    """The objective at the last epoch that is known."""
    gain: float | None
    """Pretrained value minus value: what the teacher-student phase brought."""
    epochs: int
    seconds: float
    reason: str


def objective_of(spec: Mapping[str, Any]) -> Objective:
    """Return the objective that study.json states."""
    objective = spec.get("objective", {})
    return Objective(
        metric=objective.get("metric", "val/cd_l1"),
        minimize=objective.get("direction", "minimize") == "minimize",
    )


def leaderboard(study: StudyRecord) -> list[Row]:
    """Return all trials by stratum: complete ones by value, then pruned, running, failed."""
    objective = objective_of(study.spec)
    rows = []
    for trials in by_stratum(study.trials).values():
        ordered = sorted(trials, key=lambda trial: _order(trial, objective))
        rank = 0
        for trial in ordered:
            rank += trial.state == "complete"
            rows.append(_row(trial, objective, rank if trial.state == "complete" else None))
    return rows


def by_stratum(trials: Sequence[TrialRecord]) -> dict[str, list[TrialRecord]]:
    """Return trials that may be compared with each other, under their stratum's JSON."""
    groups: dict[str, list[TrialRecord]] = {}
    for trial in trials:
        groups.setdefault(canonical_json(trial.spec.stratum), []).append(trial)
    return dict(sorted(groups.items()))


def objective_value(trial: TrialRecord, objective: Objective) -> float | None:
    """Return the objective of the result, or of the newest report of a trial without one."""
    if trial.result is not None and objective.metric in trial.result.values:
        return trial.result.values[objective.metric]
    return _last(trial, objective.metric)


def leaderboard_table(
    rows: Sequence[Row],
    objective: Objective,
    title: str = "",
    over_control: Mapping[str, PairedGain | None] | None = None,
) -> Table:
    """Return a leaderboard for the terminal; it fits 80 columns, parameters by their codes.

    Args:
        rows: in order.
        objective: what they are ordered by.
        title: a line above.
        over_control: gain of each trial over its control, for a column of their own.
    """
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    varied = _varied(rows)
    table = Table(
        title=title or None,
        box=SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        title_justify="left",
    )
    table.add_column("#", justify="right")
    for name in ("trial", "state"):
        table.add_column(name, no_wrap=True)
    gains = ["gain"] if over_control is None else ["gain", "vs control"]
    for name in (objective.metric, *gains, "epochs", "time"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("parameters")
    for before, row in zip([None, *rows], rows, strict=False):
        if before is not None and before.stratum != row.stratum:
            table.add_section()
        values = {path: v for path, v in {**row.stratum, **row.params}.items() if path in varied}
        reason = f"\n[red]{escape(row.reason)}[/]" if row.state == "failed" else ""
        table.add_row(
            "" if row.rank is None else str(row.rank),
            row.trial,
            f"[{COLORS[row.state]}]{row.state}[/]",
            "" if row.value is None else f"{row.value:.3f}",
            "" if row.gain is None else f"{row.gain:+.3f}",
            *([] if over_control is None else [_marked(over_control.get(row.trial))]),
            str(row.epochs),
            duration(row.seconds),
            describe_values(values) + reason,
            style="bold" if row.rank == 1 else None,
        )
    return table


def describe_values(values: Mapping[str, Any]) -> str:
    """Return parameters in one short line, headline parameters first by their codes."""
    codes = [f"{code}{short(values[path], 2)}" for path, code in CODES.items() if path in values]
    others = [
        f"{path.rpartition('.')[2]}={short(value)}"
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


def _order(trial: TrialRecord, objective: Objective) -> tuple[int, float, str]:
    place = ("complete", "pruned", "running", "failed").index(trial.state)
    value = objective_value(trial, objective)
    return place, math.inf if value is None else objective.order(value), trial.spec.trial


def _row(trial: TrialRecord, objective: Objective, rank: int | None) -> Row:
    result = trial.result
    seconds = sum(report.system.get("epoch_s", 0.0) for report in trial.reports)
    return Row(
        rank=rank,
        trial=trial.spec.trial,
        state=trial.state,
        stratum=trial.spec.stratum,
        params=trial.spec.params,
        value=objective_value(trial, objective),
        gain=_last(trial, "val/gain"),
        epochs=trial.reports[-1].epoch if trial.reports else 0,
        seconds=result.seconds if result else seconds,
        reason=result.reason if result else "",
    )


def _last(trial: TrialRecord, metric: str) -> float | None:
    return trial.reports[-1].metrics.get(metric) if trial.reports else None


def _marked(gain: PairedGain | None) -> str:
    return "" if gain is None else f"{gain.mean:+.3f} {MARKS[gain.verdict]}"


def _varied(rows: Sequence[Row]) -> list[str]:
    """Return the strata and the parameters with more than one value, strata first.

    A parameter that not all trials have, has one more value.
    """
    known = [{**row.stratum, **row.params} for row in rows]
    paths = dict.fromkeys(path for values in known for path in values)
    values = {path: {str(one.get(path)) for one in known} for path in paths}
    strata = {path for row in rows for path in row.stratum}
    return [path for path, seen in values.items() if len(seen) > 1 or path in strata]
