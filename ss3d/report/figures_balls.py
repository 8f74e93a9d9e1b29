"""Clouds as little lit balls: a depth-buffered picture in numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ss3d.report.clouds import Array
from ss3d.report.pictures import ELEVATION, project

_LIGHT = np.array([-0.45, 0.75, 0.55]) / np.linalg.norm([-0.45, 0.75, 0.55])
_OVERSAMPLING = 2
_HAZE = 0.34
"""How far the farthest points fade into the paper."""


@dataclass(frozen=True)
class Frame:
    """What the camera shows: one for all panels of a figure."""

    azimuth: float
    half_width: float
    """Object units at the center."""
    half_height: float
    elevation: float = ELEVATION
    focus: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Point that is shown in the middle, object units."""

    @property
    def center(self) -> tuple[float, float]:
        """Return where the focus falls on the image plane, in object units."""
        x, y, _ = project(np.array([self.focus]), self.azimuth, self.elevation)[0]
        return float(x), float(y)

    def pixels(self, per_unit: float) -> tuple[int, int]:
        """Return width and height of a picture with so many pixels per object unit."""
        return round(2 * self.half_width * per_unit), round(2 * self.half_height * per_unit)


def frame_around(clouds: list[Array], azimuths: list[float], margin: float = 0.04) -> Frame:
    """Return the smallest centered frame that holds every cloud from every azimuth.

    Args:
        clouds: (N, 3) each.
        azimuths: degrees; the first becomes the frame's own.
        margin: object units left free on each side, for the size of the balls.
    """
    seen = [np.abs(project(cloud, azimuth)[:, :2]) for cloud in clouds for azimuth in azimuths]
    reach = np.concatenate(seen).max(axis=0) + margin
    return Frame(azimuths[0], half_width=float(reach[0]), half_height=float(reach[1]))


def ball_radius(num_points: int) -> float:
    """Return a radius in object units at which the balls of a cloud just cover its surface."""
    return float(np.clip(0.62 / np.sqrt(num_points), 0.011, 0.045))


def draw_balls(cloud: Array, colors: Array, frame: Frame, per_unit: float) -> Array:
    """Render a cloud on white.

    Args:
        cloud: (N, 3) object units.
        colors: (N, 3) in [0, 1], or (3,) for all.
        frame: camera and field.
        per_unit: pixels per object unit.

    Returns:
        (height, width, 3) in [0, 1].
    """
    scale = per_unit * _OVERSAMPLING
    width, height = (side * _OVERSAMPLING for side in frame.pixels(per_unit))
    seen = project(cloud, frame.azimuth, frame.elevation)
    radius = ball_radius(len(cloud)) * scale
    disc, tone, bulge = _ball(radius)
    x = (seen[:, 0] - frame.center[0] + frame.half_width) * scale
    y = (frame.half_height - seen[:, 1] + frame.center[1]) * scale
    column = np.rint(x)[:, None].astype(int) + disc[:, 0]
    row = np.rint(y)[:, None].astype(int) + disc[:, 1]
    depth = seen[:, 2:] + bulge / scale  # (N, D)
    near = np.clip((seen[:, 2:3] + 1) / 2, 0, 1).astype(np.float32)
    base = np.broadcast_to(np.asarray(colors, dtype=np.float32), (len(cloud), 3))
    lit = _shade(base[:, None, :], tone[None, :, None], near[:, :, None])
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    pixels = np.ones((height * width, 3), dtype=np.float32)
    order = np.argsort(depth[inside], kind="stable")  # the nearest is written last
    pixels[(row * width + column)[inside][order]] = lit[inside][order]
    blocks = pixels.reshape(
        height // _OVERSAMPLING, _OVERSAMPLING, width // _OVERSAMPLING, _OVERSAMPLING, 3
    )
    return blocks.mean(axis=(1, 3))


def _ball(radius: float) -> tuple[Array, Array, Array]:
    """Return offsets (D, 2), diffuse tone (D,) and height (D,) of a ball's pixels."""
    reach = int(np.ceil(radius))
    grid = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1).T[:, ::-1]
    squared = (grid**2).sum(axis=1) / radius**2
    disc = grid[squared <= 1]
    bulge = np.sqrt(1 - squared[squared <= 1])
    normal = np.stack((disc[:, 0] / radius, -disc[:, 1] / radius, bulge), axis=1)
    return disc, np.clip(normal @ _LIGHT, 0, 1), bulge * radius


def _shade(base: Array, tone: Array, near: Array) -> Array:
    """Return colors of lit balls: ambient, diffuse, a highlight, and haze in the distance."""
    lit = base * (0.5 + 0.58 * tone) + 0.35 * tone**12
    haze = _HAZE * (1 - near)
    return np.clip(lit * (1 - haze) + haze * 0.96, 0, 1).astype(np.float32)
