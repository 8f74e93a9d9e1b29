"""What the parameters of a study did: importances, slices and parallel coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ss3d.config import canonical_json
from ss3d.report.figure_style import (
    COLORS,
    LINE,
    MANY_POINTS,
    MARKERS,
    PALE,
    PAPER,
    StudyFigure,
    add_legend,
    new_figure,
)
from ss3d.report.findings import Findings
from ss3d.report.leaderboard import Row, describe_values, short
from ss3d.report.parameter_axes import ParameterAxis, parameter_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = 2
_MOST_SLICES = 12
_BEST_SHARE = 0.1


def importance_figure(findings: Findings) -> StudyFigure | None:
    """Return how much each parameter decided, a group of bars per stratum; None if unknown."""
    parts = findings.importances
    if not parts:
        return None
    paths = list(dict.fromkeys(one["path"] for part in parts for one in part["parameters"]))
    figure = new_figure(height=0.4 + 0.12 * len(paths) * max(1, len(parts) * 0.6))
    axes = figure.subplots()
    height = 0.8 / len(parts)
    for place, part in enumerate(parts):
        found = {one["path"]: one for one in part["parameters"]}
        for row, path in enumerate(paths):
            if path in found:
                is_clear = found[path]["clear"]
                axes.barh(
                    row - 0.4 + (place + 0.5) * height, found[path]["share"], height * 0.9,
                    facecolor=COLORS[place % len(COLORS)] if is_clear else "none",
                    edgecolor=COLORS[place % len(COLORS)],
                    label=describe_values(part["stratum"]) or None if row == 0 else None,
                )  # fmt: skip
    axes.set_yticks(range(len(paths)), [path.rpartition(".")[2] for path in paths])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("share")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    add_legend(axes)
    return StudyFigure(
        name="importances",
        title="Which parameters decided",
        says="PED-ANOVA: how far the best trials lie from all trials, by parameter; shares sum to "
        "1. Hollow bars may be chance: shuffled values give as much.",
        figure=figure,
    )


def slices_figure(findings: Findings) -> StudyFigure | None:
    """Return the objective against each parameter; None if nothing varies."""
    rows = _known(findings)
    axes_of = parameter_axes(findings.study.spec.get("parameters", {}), rows)[:_MOST_SLICES]
    if not axes_of:
        return None
    lines = math.ceil(len(axes_of) / _COLUMNS)
    figure = new_figure(height=0.3 + 0.62 * lines)
    grid = figure.subplots(lines, min(_COLUMNS, len(axes_of)), sharey=True, squeeze=False)
    hints: dict[str, list[str]] = {}
    for number, axes in enumerate(grid.flat):
        if number < len(axes_of):
            hints |= _draw_slice(axes, axes_of[number], number, rows)
        else:
            axes.set_visible(False)
    figure.supylabel(findings.objectives.primary.metric, fontsize=10)
    return StudyFigure(
        name="slices",
        title="The objective against each parameter",
        says="Each point is a trial at its end: full ones are complete, hollow ones were "
        "pruned. Colors are strata, as in the history.",
        figure=figure,
        hints=hints,
    )


def _draw_slice(
    axes: Axes, parameter: ParameterAxis, number: int, rows: Sequence[Row]
) -> dict[str, list[str]]:
    """Draw one parameter; return what each point is."""
    hints: dict[str, list[str]] = {}
    for place, stratum in enumerate(_strata(rows)):
        for state in ("complete", "pruned"):
            own = [
                (row.trial, row.params[parameter.path], row.value)
                for row in rows
                if row.state == state
                and canonical_json(row.stratum) == stratum
                and parameter.path in row.params
                and row.value is not None
            ]
            group = f"slice-{number}-{place}-{state}"
            color = COLORS[place % len(COLORS)]
            axes.scatter(
                [parameter.place(at) for _, at, _ in own],
                [value for _, _, value in own],
                s=18,
                facecolors=color if state == "complete" else "none",
                edgecolors=color,
                linewidths=0.8,
                alpha=0.85,
                marker=MARKERS[place % len(MARKERS)],
                rasterized=len(own) > MANY_POINTS,
                gid=group,
            )
            hints[group] = [
                f"{trial}: {parameter.name} {short(at)}, {value:.3f}" for trial, at, value in own
            ]
    axes.set_xlim(-0.08, 1.08)
    axes.set_xticks(*zip(*parameter.ticks(), strict=True))
    axes.set_xlabel(parameter.name)
    axes.grid()
    return hints


def parallel_figure(findings: Findings) -> StudyFigure | None:
    """Return a line per trial through all its parameters; None with fewer than two."""
    rows = _known(findings)
    axes_of = parameter_axes(findings.study.spec.get("parameters", {}), rows)
    if len(axes_of) < 2:
        return None
    from matplotlib.collections import LineCollection

    objective = findings.objectives.primary
    ordered = sorted(rows, key=lambda row: -objective.order(row.value or 0.0))  # the best on top
    best = {row.trial for row in rows if row.rank is not None and _is_top(row, rows)}
    figure = new_figure(height=1.05)
    axes = figure.subplots()
    kinds = (
        ("others", [r for r in ordered if r.trial not in best], PALE, 0.35, 0.8),
        (
            "best tenth of each stratum",
            [r for r in ordered if r.trial in best],
            COLORS[1],
            0.9,
            1.8,
        ),
    )
    for label, own, color, alpha, width in kinds:
        lines = [
            [
                (x, parameter.place(row.params.get(parameter.path)))
                for x, parameter in enumerate(axes_of)
            ]
            for row in own
        ]
        axes.add_collection(
            LineCollection(
                lines, colors=color, alpha=alpha, linewidths=width, label=label,
                rasterized=len(own) > MANY_POINTS,
            )
        )  # fmt: skip
    _dress_parallel(axes, axes_of)
    add_legend(axes)
    return StudyFigure(
        name="parallel-coordinates",
        title="Parallel coordinates",
        says="Each line is a trial that was complete or pruned, through the values of its "
        "parameters; a line breaks where a parameter is not active.",
        figure=figure,
    )


def _dress_parallel(axes: Axes, axes_of: Sequence[ParameterAxis]) -> None:
    """Add an axis with its labels for each parameter."""
    for x, parameter in enumerate(axes_of):
        axes.axvline(x, color=LINE, linewidth=1, zorder=0)
        for place, label in parameter.ticks():
            axes.text(
                x + 0.05, place, label, fontsize=8, va="center", color=PALE,
                bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.6, "alpha": 0.75},
            )  # fmt: skip
    axes.set_xlim(-0.15, len(axes_of) - 0.55)
    axes.set_ylim(-0.06, 1.06)
    axes.set_xticks(
        range(len(axes_of)), [one.name for one in axes_of], rotation=25, ha="right",
        rotation_mode="anchor",
    )  # fmt: skip
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _known(findings: Findings) -> list[Row]:
    """Return the ended trials with a value: complete and pruned ones."""
    return [
        row
        for row in findings.rows
        if row.state in ("complete", "pruned")
        and row.value is not None
        and math.isfinite(row.value)
    ]


def _strata(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(canonical_json(row.stratum) for row in rows))


def _is_top(row: Row, rows: Sequence[Row]) -> bool:
    count = sum(other.stratum == row.stratum for other in rows)
    return row.rank is not None and row.rank <= max(1, round(_BEST_SHARE * count))
