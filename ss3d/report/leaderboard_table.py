"""The leaderboard as a terminal shows it, in 80 columns too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ss3d.report.leaderboard import (
    CODES,
    COLORS,
    MARKS,
    Row,
    describe_values,
    duration,
    number,
)
from ss3d.trial.objectives import Objectives

if TYPE_CHECKING:
    from rich.table import Table

    from ss3d.report.paired_gain import PairedGain


def leaderboard_table(
    rows: Sequence[Row],
    objectives: Objectives,
    title: str = "",
    over_control: Mapping[str, PairedGain | None] | None = None,
) -> Table:
    """Return a leaderboard for the terminal; it fits 80 columns, parameters by the codes below it.

    Several metrics take the room of gain and time.

    Args:
        rows: in order.
        objectives: what they are ordered by.
        title: a line above.
        over_control: gain of each trial over its control, for a column of their own.
    """
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    varied = _varied(rows)
    names = _short_names(varied)
    table = Table(
        title=title or None,
        caption=" · ".join(f"{name} {path}" for path, name in names.items()) or None,
        caption_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        title_justify="left",
    )
    table.add_column("#", justify="right")
    if objectives.are_several:
        table.add_column("front", justify="right")
    for name in ("trial", "state"):
        table.add_column(name, no_wrap=True)
    metrics = objectives.metrics
    is_narrow = len(metrics) == 1
    headings = metrics if is_narrow else [name.replace("/", "/\n") for name in metrics]
    gains = ["gain"] * is_narrow + ["vs control"] * (over_control is not None)
    for name in (*headings, *gains, "epochs", *["time"] * is_narrow):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("parameters", overflow="fold")
    for before, row in zip([None, *rows], rows, strict=False):
        if before is not None and before.stratum != row.stratum:
            table.add_section()
        values = {path: v for path, v in {**row.stratum, **row.params}.items() if path in varied}
        reason = f"\n[red]{escape(row.reason)}[/]" if row.state == "failed" else ""
        table.add_row(
            "" if row.rank is None else str(row.rank),
            *(["" if row.front is None else str(row.front)] if objectives.are_several else []),
            row.trial,
            _state(row),
            *(number(row.values.get(metric)) for metric in metrics),
            *["" if row.gain is None else f"{row.gain:+.3f}"] * is_narrow,
            *([] if over_control is None else [_marked(over_control.get(row.trial))]),
            str(row.epochs),
            *[duration(row.seconds)] * is_narrow,
            describe_values(values, names) + reason,
            style="bold" if 1 in (row.rank, row.front) else None,
        )
    return table


def _short_names(paths: Iterable[str]) -> dict[str, str]:
    """Return codes of parameters: of others than the headline ones, initials that no other has."""
    codes = {path: code for path, code in CODES.items() if path in paths}
    others = {path: path.rpartition(".")[2] for path in sorted(paths) if path not in CODES}
    initials = {
        path: "".join(word[0] for word in name.split("_")) if "_" in name else name
        for path, name in others.items()
    }
    taken = Counter([*codes.values(), *initials.values()])
    return codes | {
        path: initials[path] if taken[initials[path]] == 1 else name
        for path, name in others.items()
    }


def _state(row: Row) -> str:
    """Return a state in its color; what violates a constraint counts for nothing."""
    if row.state == "complete" and row.is_feasible is False:
        return "[magenta]infeasible[/]"
    return f"[{COLORS[row.state]}]{row.state}[/]"


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
