"""Medians over seeds of what the ways of searching cost and found, and their ratios to plain."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ss3d.bench.cell import Cell
from ss3d.bench.savings import BOTH, PLAIN, Table, Way
from ss3d.bench.shape import METRIC

if TYPE_CHECKING:
    import rich.table

TOLERANCE = 0.005
"""How far, relative to the best value of the plain way, a value may be to count as reached."""


@dataclass(frozen=True)
class Row:
    """One way of searching: medians over seeds."""

    way: Way
    spent_s: float
    """Training seconds: all epochs of all trials and pretrainings."""
    ratio: float
    """Training seconds of the plain way over those of this one, seed by seed."""
    ceiling: float
    """What arithmetic allows for the ratio, from the plain way's seconds per epoch."""
    num_pretrains: float
    num_complete: float
    best: float
    best_change: float
    """Best value minus that of the plain way, seed by seed; positive is worse."""
    time_to_target_s: float
    """Training seconds until the plain way's best value was reached; infinity if it was not."""
    target_ratio: float
    """Of the plain way over this one, to the same value."""
    wall_s: float
    wall_ratio: float


@dataclass(frozen=True)
class Summary:
    """A table of the benchmark."""

    table: Table
    seeds: tuple[int, ...]
    pretrain_share: float
    """Of a whole trial's seconds."""
    trial_s: float
    """Seconds of a whole trial."""
    rows: tuple[Row, ...]

    def row(self, way: Way) -> Row:
        """Return the row of a way."""
        return next(row for row in self.rows if row.way == way)

    @property
    def is_reached(self) -> bool:
        """Return whether both together save what they shall, and find nothing worse."""
        both = self.row(BOTH)
        return both.ratio >= self.table.goal and both.best_change <= 0


def summarize(table: Table, cells: Sequence[Cell]) -> Summary:
    """Return the medians over seeds.

    Args:
        table: what was searched in which ways.
        cells: of every way the same seeds.
    """
    plain = {cell.seed: cell for cell in cells if cell.way == PLAIN.name}
    whole = [cell.epoch_seconds() for cell in plain.values()]
    trial_s = [seconds.pretrain_s + seconds.start_s + seconds.semi_s for seconds in whole]
    shares = [of.pretrain_s / all_s for of, all_s in zip(whole, trial_s, strict=True)]
    rows = [
        _row(table, way, [cell for cell in cells if cell.way == way.name], plain)
        for way in table.ways
    ]
    return Summary(
        table=table,
        seeds=tuple(plain),
        pretrain_share=statistics.median(shares),
        trial_s=statistics.median(trial_s),
        rows=tuple(rows),
    )


def _row(table: Table, way: Way, cells: list[Cell], plain: dict[int, Cell]) -> Row:
    def median(of: Callable[[Cell, Cell], float]) -> float:
        """Return the median of a number of a search and the plain one with the same seed."""
        return statistics.median(of(cell, plain[cell.seed]) for cell in cells)

    def time_to_target(cell: Cell, first: Cell) -> float:
        return cell.time_to(first.best * (1 + TOLERANCE))

    num_keys = table.shape.num_keys if way.shares else None
    return Row(
        way=way,
        spent_s=median(lambda cell, first: cell.spent_s),
        ratio=median(lambda cell, first: first.spent_s / cell.spent_s),
        ceiling=median(
            lambda cell, first: first.epoch_seconds().ceiling(
                table.shape.num_trials, cell.num_epochs, num_keys, way.stops
            )
        ),
        num_pretrains=median(lambda cell, first: cell.num_pretrains),
        num_complete=median(lambda cell, first: len(cell.complete)),
        best=median(lambda cell, first: cell.best),
        best_change=median(lambda cell, first: cell.best - first.best),
        time_to_target_s=median(time_to_target),
        target_ratio=median(
            lambda cell, first: time_to_target(first, first) / time_to_target(cell, first)
        ),
        wall_s=median(lambda cell, first: cell.wall_s),
        wall_ratio=median(lambda cell, first: first.wall_s / cell.wall_s),
    )


def summary_as_values(summary: Summary) -> dict[str, Any]:
    """Return a summary as `--json` shows it."""
    return {
        "trials": summary.table.shape.num_trials,
        "keys": summary.table.shape.num_keys,
        "seeds": list(summary.seeds),
        "trial_s": summary.trial_s,
        "pretrain_share": summary.pretrain_share,
        "tolerance": TOLERANCE,
        "goal": summary.table.goal,
        "is_reached": summary.is_reached,
        "ways": [{**asdict(row), "way": row.way.name} for row in summary.rows],
    }


def summary_table(summary: Summary) -> rich.table.Table:
    """Return a summary for the terminal, one line per way."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table as RichTable

    shape = summary.table.shape
    title = (
        f"{shape.num_trials} trials over {shape.num_keys} pretrain keys, median of "
        f"{len(summary.seeds)} seeds; a whole trial takes {summary.trial_s:.1f} s, "
        f"{summary.pretrain_share:.0%} of it pretraining"
    )
    table = RichTable(title=title, box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.title_justify = "left"
    table.add_column("way", no_wrap=True)
    for name in (
        *("train\n(s)", "times\nless", "at\nmost", "pre-\ntrains", "best", "change"),
        *("target\n(s)", "wall\n(s)"),
    ):
        table.add_column(name, justify="right", no_wrap=True)
    for row in summary.rows:
        table.add_row(
            row.way.label,
            f"{row.spent_s:.0f}",
            f"{row.ratio:.2f}",
            f"{row.ceiling:.2f}",
            f"{row.num_pretrains:g}",
            f"{row.best:.3f}",
            f"{row.best_change:+.3f}",
            "–" if math.isinf(row.time_to_target_s) else f"{row.time_to_target_s:.0f}",
            f"{row.wall_s:.0f}",
            style="bold" if row.way == BOTH else None,
        )
    return table


def describe_goal(summary: Summary) -> str:
    """Return in words whether the goal is reached."""
    both = summary.row(BOTH)
    reached = "reached" if summary.is_reached else "NOT reached"
    return (
        f"goal {reached}: {both.ratio:.2f} times less training than plain, wanted "
        f"{summary.table.goal:g} with no worse best value ({both.best_change:+.3f}). Ratios and "
        f"changes are medians of those seed by seed; `at most` is arithmetic; `best` is {METRIC}; "
        f"`target` is the training until plain's best value within {TOLERANCE:.1%}"
    )
