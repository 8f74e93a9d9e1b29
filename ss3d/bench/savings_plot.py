"""The benchmark as a picture: best value against training time, and seconds by phase."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ss3d.bench.cell import Cell
from ss3d.bench.savings import WAYS, Table, Way
from ss3d.bench.shape import METRIC

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_OKABE_ITO = ("#000000", "#56b4e9", "#009e73", "#d55e00", "#0072b2", "#cc79a7")
_COLORS = dict(zip(WAYS, _OKABE_ITO, strict=True))
"""Colors that color-blind people tell apart."""
_PARTS: tuple[tuple[str, str, Callable[[Cell], float]], ...] = (
    ("pretraining", "#0072b2", lambda cell: cell.pretrain_s),
    ("teacher–student", "#e69f00", lambda cell: cell.spent_s - cell.pretrain_s),
)
_GRID_POINTS = 400


def draw_savings(path: Path, measured: Sequence[tuple[Table, Sequence[Cell]]]) -> None:
    """Write the picture: one line of two panels per table.

    Args:
        path: ends in `.png` or `.pdf`; its folder is made.
        measured: tables with the searches of all their ways.
    """
    from matplotlib.figure import Figure

    size = (11.0, 3.7 * len(measured))
    figure = Figure(figsize=size, facecolor="white", layout="constrained")
    panels = figure.subplots(len(measured), 2, width_ratios=(3, 2), squeeze=False)
    for (left, right), (table, cells) in zip(panels, measured, strict=True):
        by_way = [(way, [c for c in cells if c.way == way.name]) for way in table.ways]
        _draw_anytime(left, by_way)
        _draw_seconds(right, by_way)
        shape = table.shape
        left.set_title(
            f"{shape.num_trials} trials, {shape.num_keys} pretrain keys", loc="left", fontsize=10
        )
        for axes in (left, right):
            axes.grid(color="#e4e4e7", linewidth=0.7)
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def _draw_anytime(axes: Axes, by_way: Sequence[tuple[Way, list[Cell]]]) -> None:
    """Draw the median and the range over seeds, from where every seed has a complete trial."""
    longest = max(cell.spent_s for _, cells in by_way for cell in cells)
    shortest = min(next(cell.anytime())[0] for _, cells in by_way for cell in cells)
    grid = np.linspace(shortest, longest, _GRID_POINTS)
    for way, cells in by_way:
        end_s = max(cell.spent_s for cell in cells)
        inside = grid[grid <= end_s]
        bests = np.array([[_best_by(cell, at) for at in inside] for cell in cells])
        known = np.isfinite(bests).all(axis=0)
        if not known.any():
            continue
        at, bests, color = inside[known], bests[:, known], _COLORS[way]
        axes.fill_between(
            at, bests.min(axis=0), bests.max(axis=0), color=color, alpha=0.1, linewidth=0
        )
        axes.step(
            at, np.median(bests, axis=0), where="post", color=color, linewidth=1.6, label=way.label
        )
    axes.set_xlim(left=0)
    axes.set_xlabel("training time (s)")
    axes.set_ylabel(f"best {METRIC}")
    axes.legend(frameon=False, fontsize=8)


def _best_by(cell: Cell, at_s: float) -> float:
    """Return the best value that a search had after so many training seconds."""
    return min((best for spent_s, best in cell.anytime() if spent_s <= at_s), default=np.inf)


def _draw_seconds(axes: Axes, by_way: Sequence[tuple[Way, list[Cell]]]) -> None:
    """Draw stacked bars of the median seconds by phase."""
    places = range(len(by_way))
    left = np.zeros(len(by_way))
    for label, color, seconds_of in _PARTS:
        seconds = np.array([statistics.median(map(seconds_of, cells)) for _, cells in by_way])
        axes.barh(places, seconds, left=left, color=color, label=label, height=0.65)
        left += seconds
    axes.set_yticks(places, [way.label for way, _ in by_way], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("training time (s)")
    axes.legend(frameon=False, fontsize=8)
