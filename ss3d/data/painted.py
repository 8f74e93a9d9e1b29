"""Pictures of surfaces as they come from files: both sides, corner colors, textures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ss3d.data.render import (
    brightness,
    project,
    rasterise,
    resolve,
    samples_per_axis,
    screen_area,
    unit_normals,
)
from ss3d.data.solids import Array
from ss3d.data.surface import Surface

_SLIVER = 1e-6
"""Twice the area, in samples, below which a triangle shows nothing and its plane is unknown."""
_DARKEST = 0.06
"""Share of the light that the blackest color sends back, so that its shape can be seen."""


def render_surface(surface: Surface, camera: NDArray[np.float32], side: int) -> NDArray[np.uint8]:
    """Render one view of a surface.

    Args:
        surface: canonical.
        camera: (5,) as `draw_cameras` returns; in-plane rotation must be 0.
        side: of the picture in pixels.

    Returns:
        (side, side, 4) uint8, alpha not multiplied in.
    """
    samples = samples_per_axis(side)
    axes, screen = project(surface.corners, camera, side * samples)
    area = screen_area(screen)
    shown = np.flatnonzero(np.abs(area) > _SLIVER)
    nearest = rasterise(screen[shown], side * samples)
    row, column = np.nonzero(nearest >= 0)
    face = shown[nearest[row, column]]
    centers = np.stack((column, row), axis=1).astype(np.float64) + 0.5
    weights = _corner_weights(screen[face], centers)
    facing = -np.sign(area)[:, None]  # y runs down
    light = brightness(facing * unit_normals(surface.corners), axes[2])
    picture = np.zeros((*nearest.shape, 4))
    picture[row, column, :3] = np.clip(_paint(surface, face, weights) * light[face, None], 0, 1)
    picture[row, column, 3] = 1
    return resolve(picture, samples)


def _corner_weights(screen: Array, centers: Array) -> Array:
    """Return how much each corner counts at a sample, in perspective.

    Args:
        screen: (n, 3, 3) corners of the triangle at each sample: x, y and nearness.
        centers: (n, 2) x and y of the samples.

    Returns:
        (n, 3) that sum to 1.
    """
    offset = screen[:, :, :2] - centers[:, None]
    following, last = np.roll(offset, -1, axis=1), np.roll(offset, -2, axis=1)
    opposite = following[..., 0] * last[..., 1] - following[..., 1] * last[..., 0]
    weights = opposite * screen[:, :, 2]
    return weights / weights.sum(axis=1, keepdims=True)


def _paint(surface: Surface, face: NDArray[np.int64], weights: Array) -> Array:
    """Return the (n, 3) unlit colors at samples on these faces."""
    colors = np.einsum("nc,ncj->nj", weights, surface.colors[face])
    texture = surface.texture[face]
    for number, pixels in enumerate(surface.textures):
        here = np.flatnonzero(texture == number)
        if len(here):
            place = np.einsum("nc,ncj->nj", weights[here], surface.places[face[here]]) % 1
            height, width = pixels.shape[:2]
            rows = np.minimum(((1 - place[:, 1]) * height).astype(np.int64), height - 1)
            columns = np.minimum((place[:, 0] * width).astype(np.int64), width - 1)
            colors[here] *= pixels[rows, columns]
    return _DARKEST + (1 - _DARKEST) * colors
