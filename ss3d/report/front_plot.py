"""The Pareto front of a study as a picture: its first two objectives against each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ss3d.config import canonical_json
from ss3d.report.figure_style import COLORS, LINE
from ss3d.report.leaderboard import Row, describe_values
from ss3d.trial.objectives import Objectives

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Point = tuple[float, float]
FORMATS = (".png", ".pdf")


def draw_front(path: Path, rows: Sequence[Row], objectives: Objectives, title: str = "") -> None:
    """Write the picture: trials with a rank, the fronts of the strata, and what is infeasible.

    Args:
        path: ends in `.png` or `.pdf`; its folder is made.
        rows: of the leaderboard.
        objectives: several; the first is drawn upwards, the second to the right.
        title: a line above.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 4.0), facecolor="white", layout="constrained")
    axes = figure.subplots()
    draw_front_on(axes, rows, objectives)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def draw_front_on(axes: Axes, rows: Sequence[Row], objectives: Objectives) -> dict[str, list[str]]:
    """Draw the trials and the fronts of the strata.

    Args:
        axes: to draw on.
        rows: of the leaderboard.
        objectives: several; the first is drawn upwards, the second to the right.

    Returns:
        What each point of a group is, by the group's id in an SVG.
    """
    upwards, rightwards = (one.metric for one in objectives.all[:2])
    ended = [
        (row, (row.values[rightwards], row.values[upwards]))
        for row in rows
        if row.state == "complete" and {upwards, rightwards} <= row.values.keys()
    ]
    strata: dict[str, list[tuple[Row, Point]]] = {}
    for row, point in ended:
        if row.rank is not None:
            strata.setdefault(canonical_json(row.stratum), []).append((row, point))
    hints = {
        f"front-{place}": _draw_stratum(axes, group, COLORS[place % len(COLORS)], f"front-{place}")
        for place, group in enumerate(strata.values())
    }
    if beyond := [point for row, point in ended if row.rank is None]:
        places = zip(*beyond, strict=True)
        axes.scatter(*places, s=18, marker="x", color="#a1a1aa", label="infeasible")
    axes.set_xlabel(f"{rightwards} ({objectives.all[1].direction})")
    axes.set_ylabel(f"{upwards} ({objectives.all[0].direction})")
    axes.grid(color=LINE, linewidth=0.7)
    if ended:
        axes.legend(frameon=False, fontsize=8)
    return hints


def _draw_stratum(
    axes: Axes, ranked: Sequence[tuple[Row, Point]], color: str, group: str
) -> list[str]:
    """Draw the trials of a stratum that have a rank, those on its front joined by a line."""
    points = [point for _, point in ranked]
    axes.scatter(*zip(*points, strict=True), s=18, color=color, alpha=0.45, linewidths=0, gid=group)
    front = sorted(point for row, point in ranked if row.front == 1)
    label = " ".join(filter(None, ("front", describe_values(ranked[0][0].stratum))))
    axes.plot(*zip(*front, strict=True), color=color, marker="o", markersize=5, label=label)
    return [f"{row.trial}: {upward:.4g} at {rightward:.4g}" for row, (rightward, upward) in ranked]
