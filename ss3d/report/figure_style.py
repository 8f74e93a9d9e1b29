"""How the figures of a study look: one size, one palette, legible on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, PALE, LINE, PAPER = "#27272a", "#71717a", "#e4e4e7", "#ffffff"
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Of Okabe and Ito, which color-blind people tell apart; a stratum each, in turn."""
MARKERS = ("o", "s", "^", "D", "v", "P")
MANY_POINTS = 600
"""From here on points are drawn as pixels, so that pages stay small."""
_SIZE_IN = (5.2, 3.3)
_UNITS = ((2 * 86400.0, 3600.0, "h"), (600.0, 60.0, "min"), (0.0, 1.0, "s"))


@dataclass(frozen=True)
class StudyFigure:
    """One figure of a study and what to say of it."""

    name: str
    title: str
    says: str
    """What is drawn and how to read it."""
    figure: Figure
    hints: dict[str, list[str]] = field(default_factory=dict)
    """What each point of a group is, by the group's id in an SVG."""


@contextmanager
def style() -> Iterator[None]:
    """Make and save figures in here."""
    import matplotlib as mpl

    look = {
        "font.size": 10,
        "axes.titlesize": 10,
        "legend.fontsize": 9,
        "legend.frameon": False,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": PALE,
        "xtick.color": PALE,
        "ytick.color": PALE,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "grid.color": LINE,
        "grid.linewidth": 0.8,
        "figure.facecolor": PAPER,
        "savefig.dpi": 160,
        "svg.fonttype": "none",
        "svg.hashsalt": "ss3d",
    }
    with mpl.rc_context(look):
        yield


def new_figure(width: float = 1.0, height: float = 1.0) -> Figure:
    """Return an empty figure, as a multiple of the usual size."""
    from matplotlib.figure import Figure

    size = (_SIZE_IN[0] * width, _SIZE_IN[1] * height)
    return Figure(figsize=size, layout="constrained")


def add_legend(axes: Axes) -> None:
    """Add a legend above the axes if anything has a label."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        axes.legend(
            handles, labels, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2,
            columnspacing=1.2, handlelength=1.6,
        )  # fmt: skip


def time_unit(longest_s: float) -> tuple[float, str]:
    """Return the seconds of a unit that suits a time, and the unit's sign."""
    return next((scale, name) for least, scale, name in _UNITS if longest_s >= least)
