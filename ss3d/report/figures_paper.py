"""A sheet on paper: PNG or PDF by matplotlib."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ss3d.report.clouds import Array
from ss3d.report.figures_balls import Frame, draw_balls
from ss3d.report.figures_sheet import Panel, Sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 200
COLOR_MAP = "turbo"
_UNIT_IN = 0.86
"""Inches per object unit: a panel is about 1.8 wide."""
_NAME_IN, _TOP_IN, _BOTTOM_IN, _GAP_IN = 0.3, 0.62, 0.42, 0.07
_INK, _PALE = "#27272a", "#71717a"


def draw_sheet(path: Path, sheet: Sheet) -> None:
    """Write a figure; the suffix decides the format.

    Args:
        path: ends in `.png` or `.pdf`; its folder is made.
        sheet: what to draw.
    """
    from matplotlib.figure import Figure

    frame = sheet.frame
    side = min(2 * frame.half_height, 2 * frame.half_width) * _UNIT_IN
    across, down = 2 * frame.half_width * _UNIT_IN, 2 * frame.half_height * _UNIT_IN
    scale_in = 0.75 if sheet.reach is not None else 0.1
    columns = len(sheet.columns)
    width = _NAME_IN + side + (columns - 1) * across + columns * _GAP_IN + scale_in
    height = _TOP_IN + len(sheet.panels) * (down + _GAP_IN) + _BOTTOM_IN
    figure = Figure(figsize=(width, height), facecolor="white")
    place = _Placement(width, height, side, across, down)
    for row, panels in enumerate(sheet.panels):
        for column, panel in enumerate(panels):
            axes = figure.add_axes(place.cell(row, column))
            _draw_panel(axes, panel, sheet, down)
            if row == 0:
                middle = place.middle(column)
                figure.text(*middle, sheet.columns[column], fontsize=8.5, color=_INK, ha="center")
            if column == 0:
                axes.set_ylabel(sheet.rows[row], fontsize=5.5, color=_PALE, labelpad=3)
    _write_words(figure, sheet, width, height)
    if sheet.reach is not None:
        _draw_scale(figure, sheet.reach, width, height)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI)


def distance_colors(distances: Array, reach: float) -> Array:
    """Return (N, 3) colors of distances in object units; `reach` is in the unit of `cd_l1`."""
    from matplotlib import colormaps

    share = np.clip(100 * distances / reach, 0, 1)
    return colormaps[COLOR_MAP](0.06 + 0.88 * share)[:, :3].astype(np.float32)


class _Placement:
    """Where the cells are, in inches from the top left."""

    def __init__(self, width: float, height: float, side: float, across: float, down: float):
        self._size = (width, height)
        self._side, self._across, self._down = side, across, down

    def cell(self, row: int, column: int) -> tuple[float, float, float, float]:
        """Return a cell's left, bottom, width and height in parts of the figure."""
        width, height = self._size
        top = _TOP_IN + row * (self._down + _GAP_IN)
        left, across, down = _NAME_IN, self._side, self._side
        if column == 0:
            top += (self._down - self._side) / 2
        else:
            left += self._side + _GAP_IN + (column - 1) * (self._across + _GAP_IN)
            across, down = self._across, self._down
        return left / width, 1 - (top + down) / height, across / width, down / height

    def middle(self, column: int) -> tuple[float, float]:
        """Return where the heading of a column stands, in parts of the figure."""
        left, _, across, _ = self.cell(0, column)
        return left + across / 2, 1 - (_TOP_IN - 0.06) / self._size[1]


def _draw_panel(axes: Axes, panel: Panel, sheet: Sheet, down: float) -> None:
    frame = panel.frame or sheet.frame
    extent = (
        frame.center[0] - frame.half_width, frame.center[0] + frame.half_width,
        frame.center[1] - frame.half_height, frame.center[1] + frame.half_height,
    )  # fmt: skip
    if panel.image is not None:
        axes.imshow(panel.image, interpolation="lanczos", aspect="auto")
    elif panel.cloud is not None:
        colors = np.array(panel.color)
        if panel.distances is not None and sheet.reach is not None:
            colors = distance_colors(panel.distances, sheet.reach)
        per_unit = DPI * down / (2 * frame.half_height)
        picture = draw_balls(panel.cloud, colors, frame, per_unit)
        axes.imshow(picture, extent=extent, interpolation="lanczos", aspect="auto")
    is_close = panel.frame is not None and panel.distances is not None
    for spine in axes.spines.values():
        spine.set_visible(is_close or panel.image is not None)
        spine.set_color("#d4d4d8")
    axes.set_xticks([])
    axes.set_yticks([])
    if panel.mark is not None:
        _outline(axes, panel.mark, frame)
    if panel.caption:
        axes.text(
            0.97, 0.03, panel.caption, transform=axes.transAxes, fontsize=6.5, color=_PALE,
            ha="right", va="bottom",
        )  # fmt: skip


def _outline(axes: Axes, mark: Frame, frame: Frame) -> None:
    """Draw the part of a close-up's field that lies inside the panel."""
    from matplotlib.patches import Rectangle

    limits = np.array([frame.half_width, frame.half_height]) * 0.995
    center, half = np.array(mark.center), np.array([mark.half_width, mark.half_height])
    low, high = np.clip(center - half, -limits, limits), np.clip(center + half, -limits, limits)
    x, y = low.tolist()
    across, up = (high - low).tolist()
    axes.add_patch(Rectangle((x, y), across, up, fill=False, linewidth=0.7, edgecolor=_INK))


def _write_words(figure: Figure, sheet: Sheet, width: float, height: float) -> None:
    left = 0.08 / width
    figure.text(left, 1 - 0.1 / height, sheet.title, fontsize=10, color=_INK, va="top")
    frame = sheet.frame
    camera = f"One scale and elevation ({frame.elevation:.0f}°) for all; numbers are cd_l1."
    note = textwrap.fill(f"Objects: {sheet.note}. {camera}", width=int(width * 19))
    figure.text(left, 0.08 / height, note, fontsize=6, color=_PALE, va="bottom")


def _draw_scale(figure: Figure, reach: float, width: float, height: float) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    colors = distance_colors(np.linspace(0, reach / 100, 256, dtype=np.float32), reach)
    axes = figure.add_axes((1 - 0.6 / width, 0.25, 0.09 / width, 0.5))
    mappable = ScalarMappable(Normalize(0, reach), ListedColormap(colors))
    bar = figure.colorbar(mappable, cax=axes, extend="max")
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=6, color=_PALE, labelcolor=_PALE, length=2)
    bar.set_label("100 × distance to the other cloud", fontsize=6, color=_PALE)
