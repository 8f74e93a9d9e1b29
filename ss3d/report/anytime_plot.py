"""Two searches as a picture: best value against training time, and best of k trials."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ss3d.report.anytime import Comparison, Search

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = (".png", ".pdf")
_COLORS = ("#0072b2", "#d55e00")
"""Of Okabe and Ito, which color-blind people tell apart; the line styles differ too."""
_STYLES = ("-", "--")
_UNITS = ((2 * 86400.0, 3600.0, "h"), (600.0, 60.0, "min"), (0.0, 1.0, "s"))


def draw_comparison(path: Path, comparison: Comparison, title: str = "") -> None:
    """Write the picture.

    Args:
        path: ends in `.png` or `.pdf`; its folder is made.
        comparison: of two searches.
        title: a line above.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.2, 3.6), facecolor="white", layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    _draw_anytime(left, comparison)
    _draw_best_of(right, comparison)
    for axes in (left, right):
        axes.grid(color="#e4e4e7", linewidth=0.7)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def _draw_anytime(axes: Axes, comparison: Comparison) -> None:
    longest = max(search.spent_s for search in comparison.searches)
    unit_s, unit = next((scale, name) for least, scale, name in _UNITS if longest >= least)
    for place, search in enumerate(comparison.searches):
        known = [(p.spent_s / unit_s, p.best) for p in search.points if p.best is not None]
        axes.step(
            *zip(*known, strict=True), where="post", label=_label(search), linewidth=1.6,
            color=_COLORS[place], linestyle=_STYLES[place],
        )  # fmt: skip
        ends = [(p.spent_s / unit_s, p.value) for p in search.points if p.value is not None]
        axes.scatter(*zip(*ends, strict=True), s=8, color=_COLORS[place], alpha=0.45, linewidths=0)
    budget = comparison.same_budget.budget_s / unit_s
    axes.axvline(budget, color="#71717a", linestyle=":", linewidth=0.9)
    axes.set_xlim(left=0)
    axes.set_xlabel(f"training time ({unit})")
    axes.set_ylabel(f"best {comparison.objective.metric}")


def _draw_best_of(axes: Axes, comparison: Comparison) -> None:
    for place, search in enumerate(comparison.searches):
        sizes = [best.k for best in search.best_of]
        shift = 0.97 if place == 0 else 1.03
        means = [best.mean for best in search.best_of]
        below = [max(0.0, best.mean - best.low) for best in search.best_of]
        above = [max(0.0, best.high - best.mean) for best in search.best_of]
        axes.errorbar(
            [size * shift for size in sizes], means, (below, above), label=_label(search),
            color=_COLORS[place], linestyle=_STYLES[place], marker="o", markersize=4, capsize=2,
            linewidth=1.4,
        )  # fmt: skip
    axes.set_xscale("log", base=2)
    ticks = sorted({best.k for search in comparison.searches for best in search.best_of})
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("number of trials k")
    axes.set_ylabel("expected best of k")


def _label(search: Search) -> str:
    return f"{search.study} ({len(search.points)} trials)"
