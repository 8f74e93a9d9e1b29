"""The figures of a study, for its page and for MLflow."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ss3d.report.anytime import Search, follow
from ss3d.report.cost import Cost, total_cost
from ss3d.report.figure_style import (
    COLORS,
    MANY_POINTS,
    MARKERS,
    PALE,
    StudyFigure,
    add_legend,
    new_figure,
    time_unit,
)
from ss3d.report.figures_groups import RATIO
from ss3d.report.findings import Findings
from ss3d.report.front_plot import draw_front_on
from ss3d.report.leaderboard import by_stratum, describe_values, duration
from ss3d.report.paired_gain import PairedGain
from ss3d.report.parameter_figures import importance_figure, parallel_figure, slices_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def study_figures(findings: Findings) -> list[StudyFigure]:
    """Return the figures for which a study has enough; call within `figure_style.style`."""
    makers: tuple[Callable[[Findings], StudyFigure | None], ...] = (
        _history,
        _ratios,
        _front,
        importance_figure,
        slices_figure,
        parallel_figure,
        _cost,
    )
    return [found for make in makers if (found := make(findings))]


def _history(findings: Findings) -> StudyFigure | None:
    study, objective = findings.study, findings.objectives.primary
    searches = [
        (describe_values(trials[0].spec.stratum), follow(study, trials, objective))
        for trials in by_stratum(study.trials).values()
        if any(trial.state == "complete" for trial in trials)
    ]
    searches = [(label, search) for label, search in searches if search.best_of]
    if not searches:
        return None
    figure = new_figure()
    axes = figure.subplots()
    unit_s, unit = time_unit(max(search.spent_s for _, search in searches))
    hints = {
        f"points-{place}": _draw_search(axes, search, label, place, unit_s)
        for place, (label, search) in enumerate(searches)
    }
    axes.set_xlabel(f"training time ({unit})")
    axes.set_ylabel(objective.metric)
    axes.set_xlim(left=0)
    axes.grid()
    add_legend(axes)
    each = " of each stratum" if len(searches) > 1 else ""
    return StudyFigure(
        name="history",
        title="How the search went",
        says=f"Each point is a trial at its end, pruned ones too; the line is the best complete "
        f"trial{each} so far, against the training time spent{each}, pretraining included.",
        figure=figure,
        hints=hints,
    )


def _draw_search(axes: Axes, search: Search, label: str, place: int, unit_s: float) -> list[str]:
    """Draw the trials and the best so far; return what each point is."""
    color = COLORS[place % len(COLORS)]
    ends = [(point, value) for point in search.points if (value := point.value) is not None]
    axes.scatter(
        [point.spent_s / unit_s for point, _ in ends], [value for _, value in ends], s=20,
        color=color, alpha=0.5, linewidths=0, marker=MARKERS[place % len(MARKERS)],
        gid=f"points-{place}", rasterized=len(ends) > MANY_POINTS,
    )  # fmt: skip
    known = [(p.spent_s / unit_s, p.best) for p in search.points if p.best is not None]
    times, bests = zip(*known, strict=True)
    axes.step(times, bests, where="post", color=color, linewidth=1.8, label=label or "best so far")
    return [f"{point.trial}: {value:.3f} after {duration(point.spent_s)}" for point, value in ends]


def _ratios(findings: Findings) -> StudyFigure | None:
    best = [
        (float(row.stratum[RATIO]), gains)
        for row in findings.best
        if RATIO in row.stratum and len(row.stratum) == 1
        if (gains := findings.gains.get(row.trial)) and gains.cd_l1 is not None
    ]
    if len(best) < 2:
        return None
    figure = new_figure()
    axes = figure.subplots()
    series = (
        ("best trial", [(r, g.cd_l1) for r, g in best if g.cd_l1 is not None]),
        ("its supervised control", [(r, _before(g.cd_l1, g.over_control.gain)) for r, g in best]),
        ("its pretrained state", [(r, _before(g.cd_l1, g.over_pretrained.gain)) for r, g in best]),
    )
    for place, (label, points) in enumerate(series):
        known = sorted((100 * ratio, value) for ratio, value in points if value is not None)
        if known:
            axes.plot(
                *zip(*known, strict=True), color=COLORS[place], marker=MARKERS[place],
                linestyle=("-", "--", ":")[place], markersize=5, label=label,
            )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xticks([100 * r for r, _ in best], [f"{100 * r:g} %" for r, _ in best])
    axes.minorticks_off()
    axes.set_xlabel("labeled models")
    axes.set_ylabel("val/cd_l1")
    axes.grid()
    add_legend(axes)
    return StudyFigure(
        name="label-ratios",
        title="What labels are worth",
        says="The best trial of each labeled ratio, with what the same labels give without "
        "unlabeled images: its control and its pretrained state. Lower is better.",
        figure=figure,
    )


def _before(value: float | None, gain: PairedGain | None) -> float | None:
    """Return the value of a baseline over which something gained."""
    return None if value is None or gain is None else value + gain.mean


def _front(findings: Findings) -> StudyFigure | None:
    objectives = findings.objectives
    if not objectives.are_several or not findings.best:
        return None
    figure = new_figure()
    hints = draw_front_on(figure.subplots(), findings.rows, objectives)
    first, second = (one.metric for one in objectives.all[:2])
    return StudyFigure(
        name="pareto-front",
        title="The Pareto front",
        says=f"Each point is a complete trial, {first} against {second}; those joined by a line "
        "are on the front: no other trial of their stratum is better in one and not worse in any.",
        figure=figure,
        hints=hints,
    )


def _cost(findings: Findings) -> StudyFigure | None:
    cost = total_cost(findings.costs)
    if cost.spent_s <= 0:
        return None
    figure = new_figure(height=0.62)
    axes = figure.subplots()
    unit_s, unit = time_unit(cost.spent_s + cost.saved_by_sharing_s + cost.saved_by_stopping_s)
    left = 0.0
    for label, seconds, color, hatch in _parts(cost):
        if seconds > 0:
            axes.barh(
                0, seconds / unit_s, left=left / unit_s, color=color, hatch=hatch, label=label,
                edgecolor=PALE if hatch else color, linewidth=0.6, height=0.5,
            )  # fmt: skip
        left += seconds
    axes.set_yticks([])
    axes.set_ylim(-0.4, 0.4)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"training time ({unit})")
    axes.grid(axis="x")
    add_legend(axes)
    return StudyFigure(
        name="cost",
        title="What it cost, and what it would have cost",
        says=f"Training time spent, {duration(cost.spent_s)}, and hatched what the same trials "
        "would have cost more if each had pretrained by itself and none had been stopped.",
        figure=figure,
    )


def _parts(cost: Cost) -> list[tuple[str, float, str, str | None]]:
    """Return label, seconds, color and hatch of each part of the bar."""
    return [
        ("pretraining", cost.pretrain_s, COLORS[0], None),
        ("teacher-student", cost.semi_s, COLORS[1], None),
        ("controls", cost.control_s, COLORS[2], None),
        ("saved by sharing", cost.saved_by_sharing_s, "none", "////"),
        ("saved by stopping", cost.saved_by_stopping_s, "none", "...."),
    ]
