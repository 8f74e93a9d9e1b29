"""Gains as a picture: one row per arm or trial, dots with their intervals around zero."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ss3d.report.arm_gains import ArmGains
from ss3d.report.gains import TrialGains
from ss3d.report.paired_gain import PairedGain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = (".png", ".pdf", ".svg")
_WIDTH_IN, _DPI = 8.0, 125
_ROW_IN, _FRAME_IN = 0.46, 1.5
_LABEL_LETTERS = 30
_INK, _PALE = "#27272a", "#71717a"


@dataclass(frozen=True)
class ForestRow:
    """An arm or a trial; None where there is no gain."""

    label: str
    over_control: PairedGain | None
    over_pretrained: PairedGain | None


@dataclass(frozen=True)
class _Series:
    label: str
    color: str
    marker: str
    shift: float
    """Rows upwards."""


_CONTROL = _Series("over the supervised control", "#0072b2", "o", 0.14)
_PRETRAINED = _Series("over the pretrained state", "#d55e00", "s", -0.14)
"""Colors of Okabe and Ito, which color-blind people tell apart; the markers differ too."""


def forest_rows(gains: Sequence[ArmGains] | Sequence[TrialGains]) -> list[ForestRow]:
    """Return the rows of arms or trials."""
    return [
        ForestRow(
            label=one.label if isinstance(one, ArmGains) else one.trial,
            over_control=one.over_control.gain,
            over_pretrained=one.over_pretrained.gain,
        )
        for one in gains
    ]


def draw_forest(path: Path, rows: Sequence[ForestRow], title: str = "") -> None:
    """Write the picture; full markers are distinguishable from zero, hollow ones are not.

    Args:
        path: ends in `.png`, `.pdf` or `.svg`; its folder is made.
        rows: from top to bottom.
        title: a line above.
    """
    from matplotlib.figure import Figure

    size = (_WIDTH_IN, _FRAME_IN + _ROW_IN * max(1, len(rows)))
    figure = Figure(figsize=size, facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    axes.axvline(0, color=_INK, linewidth=1)
    for place, row in enumerate(rows):
        pairs = ((_CONTROL, row.over_control), (_PRETRAINED, row.over_pretrained))
        for series, gain in pairs:
            if gain is not None:
                _draw_gain(axes, gain, len(rows) - 1 - place + series.shift, series)
        if row.over_control is None and row.over_pretrained is None:
            height = len(rows) - 1 - place
            axes.text(0, height, " no gain known", color=_PALE, fontsize=8, va="center")
    _dress(axes, rows)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, color=_INK)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=_DPI)


def _draw_gain(axes: Axes, gain: PairedGain, height: float, series: _Series) -> None:
    is_clear = gain.verdict != "not distinguishable"
    if math.isfinite(gain.low):
        axes.plot([gain.low, gain.high], [height, height], color=series.color, linewidth=1.8)
    axes.plot(
        gain.mean, height, series.marker, markersize=6.5, markeredgewidth=1.6,
        markeredgecolor=series.color, markerfacecolor=series.color if is_clear else "white",
    )  # fmt: skip


def _dress(axes: Axes, rows: Sequence[ForestRow]) -> None:
    """Add labels, legend and grid."""
    from matplotlib.lines import Line2D

    labels = [textwrap.fill(row.label, _LABEL_LETTERS) for row in reversed(rows)]
    axes.set_yticks(range(len(rows)), labels, fontsize=9, color=_INK)
    for place in range(0, len(rows), 2):
        axes.axhspan(place - 0.5, place + 0.5, color="#f4f4f5", linewidth=0, zorder=0)
    axes.set_ylim(-0.6, max(1, len(rows)) - 0.4)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("gain in cd_l1 with its 95 % interval (right of zero: better)", color=_INK)
    axes.grid(axis="x", color="#e4e4e7", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    words = "hollow: not distinguishable"
    handles = [
        *(
            Line2D([], [], color=s.color, marker=s.marker, linewidth=1.8, label=s.label)
            for s in (_CONTROL, _PRETRAINED)
        ),
        Line2D([], [], color=_PALE, marker="o", markerfacecolor="white", linestyle="", label=words),
    ]
    axes.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False,
        fontsize=8, borderaxespad=0, columnspacing=1.4,
    )  # fmt: skip
