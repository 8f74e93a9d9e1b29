"""Pictures of reconstructions: input | prediction | ground truth, from four azimuths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ss3d.report.clouds import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AZIMUTHS = (30.0, 120.0, 210.0, 300.0)
ELEVATION = 20.0
PREDICTED, TRUTH = "#c2410c", "#1d4ed8"
_SIDE_IN = 1.45
_DISTANCE = 4.0


@dataclass(frozen=True)
class Example:
    """One object of a picture."""

    name: str
    image: Array
    """(S, S, 3) or (S, S, 4) in [0, 1]."""
    predicted: Array
    """(N, 3) object units."""
    target: Array | None = None
    """(M, 3) object units; None where there is no ground truth."""
    caption: str = ""


def draw_reconstructions(path: Path, examples: Sequence[Example], title: str = "") -> None:
    """Write a PNG with one row per object and kind of cloud, all with the same camera and scale.

    Args:
        path: of the PNG; its folder is made.
        examples: at least one.
        title: a line above.
    """
    from matplotlib.figure import Figure

    assert examples
    kinds = [example.target is not None for example in examples]
    heights = [2 if with_truth else 1 for with_truth in kinds]
    columns = len(AZIMUTHS) + 1
    top = 0.42 if title else 0.08
    height = sum(heights) * _SIDE_IN + top
    figure = Figure(figsize=(columns * _SIDE_IN + _SIDE_IN * 0.35, height), facecolor="white")
    grid = figure.add_gridspec(
        len(examples),
        2,
        height_ratios=heights,
        width_ratios=[1.35, len(AZIMUTHS)],
        left=0.01,
        right=0.99,
        bottom=0.01,
        top=1 - top / height,
        wspace=0.02,
        hspace=0.03,
    )
    if title:
        figure.suptitle(title, fontsize=10, x=0.015, y=1 - 0.12 / height, ha="left", va="top")
    for index, example in enumerate(examples):
        _draw_input(figure.add_subplot(grid[index, 0]), example)
        _draw_clouds(figure, grid[index, 1], example)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def project(cloud: Array, azimuth: float, elevation: float = ELEVATION) -> Array:
    """Return (N, 3): horizontal, vertical and depth of points seen by an orbiting camera.

    Args:
        cloud: (N, 3), y up.
        azimuth: degrees around y; 0 looks along -z.
        elevation: degrees above the horizon.

    Returns:
        Perspective image coordinates in object units at the center, and depth that grows towards
        the camera.
    """
    a, e = np.radians(azimuth), np.radians(elevation)
    turn = np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])
    tilt = np.array([[1, 0, 0], [0, np.cos(e), -np.sin(e)], [0, np.sin(e), np.cos(e)]])
    seen = np.asarray(cloud, dtype=np.float64) @ (tilt @ turn).T
    scale = _DISTANCE / (_DISTANCE - seen[:, 2:])
    return np.concatenate((seen[:, :2] * scale, seen[:, 2:]), axis=1).astype(np.float32)


def _draw_input(axes: Axes, example: Example) -> None:
    axes.imshow(example.image, interpolation="lanczos")
    axes.set_anchor("C")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("#d4d4d8")
    axes.set_title(example.name, fontsize=7.5, color="#3f3f46", pad=3)
    axes.set_xlabel(example.caption, fontsize=7.5, color="#3f3f46", labelpad=3)


def _draw_clouds(figure: Figure, cell: Any, example: Example) -> None:
    rows: list[tuple[str, str, Array]] = [("prediction", PREDICTED, example.predicted)]
    if example.target is not None:
        rows.append(("ground truth", TRUTH, example.target))
    grid = cell.subgridspec(len(rows), len(AZIMUTHS), wspace=0, hspace=0)
    reach = reach_of([cloud for _, _, cloud in rows])
    for row, (label, color, cloud) in enumerate(rows):
        for column, azimuth in enumerate(AZIMUTHS):
            axes = figure.add_subplot(grid[row, column])
            draw_cloud(axes, cloud, azimuth, color, reach)
            if column == 0:
                axes.text(
                    0.03, 0.97, label, transform=axes.transAxes, fontsize=7.5, color=color, va="top"
                )


def draw_cloud(axes: Axes, cloud: Array, azimuth: float, color: str, reach: float) -> None:
    """Draw points far to near, far ones paler, in a frame of half-width `reach`."""
    from matplotlib.colors import to_rgb

    seen = project(cloud, azimuth)
    seen = seen[np.argsort(seen[:, 2])]
    near = np.clip((seen[:, 2:] / reach + 1) / 2, 0, 1)
    tone = near * np.array(to_rgb(color)) + (1 - near) * np.array(to_rgb("#e4e4e7"))
    size = 900 / len(cloud) + 1.2
    axes.scatter(seen[:, 0], seen[:, 1], s=size, c=tone, linewidths=0)
    axes.set_xlim(-reach, reach)
    axes.set_ylim(-reach, reach)
    axes.set_aspect("equal")
    axes.set_axis_off()


def reach_of(clouds: Sequence[Array]) -> float:
    """Return the half-width of a frame that holds all clouds from every side."""
    return max(float(np.linalg.norm(cloud, axis=1).max()) for cloud in clouds) * 1.06
