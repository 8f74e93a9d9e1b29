"""Pictures of meshes in numpy: perspective, z-buffer, Lambert shading, antialiased alpha."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ss3d.data.solids import Array, Mesh

FIELD_OF_VIEW = 49.134342
"""Degrees; of R2N2's camera (35 mm lens, 32 mm sensor)."""
UNIT_DISTANCE = 1.75
"""Distance of the camera at distance ratio 1."""
_SUN = np.array((0.35, 0.8, 0.5)) / np.linalg.norm((0.35, 0.8, 0.5))
_AMBIENT, _SUNLIGHT, _HEADLIGHT = 0.38, 0.42, 0.32


def view_axes(azimuth: float, elevation: float) -> Array:
    """Return the rows right, up and towards the camera, of a camera that looks at the origin.

    Args:
        azimuth: degrees about y, from +x to -z, as in R2N2's metadata.
        elevation: degrees above the ground plane, below 90.
    """
    a, e = math.radians(azimuth), math.radians(elevation)
    towards = np.array((math.cos(e) * math.cos(a), math.sin(e), -math.cos(e) * math.sin(a)))
    right = np.cross((0.0, 1.0, 0.0), towards)
    right /= np.linalg.norm(right)
    return np.stack((right, np.cross(towards, right), towards))


def draw_cameras(num_views: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw cameras as R2N2 does: any azimuth, elevation 25-30 degrees.

    Returns:
        (views, 5) azimuth, elevation, in-plane rotation, distance ratio, field of view.
    """
    camera = np.zeros((num_views, 5), np.float32)
    camera[:, 0] = rng.random(num_views) * 360
    camera[:, 1] = 25 + rng.random(num_views) * 5
    camera[:, 3] = 0.65 + rng.random(num_views) * 0.35
    camera[:, 4] = FIELD_OF_VIEW
    return camera


def render(mesh: Mesh, camera: NDArray[np.float32], side: int) -> NDArray[np.uint8]:
    """Render one view of a closed mesh.

    Args:
        mesh: canonical (bounding-box diagonal 1, centered).
        camera: (5,) as `draw_cameras` returns; in-plane rotation must be 0.
        side: of the picture in pixels.

    Returns:
        (side, side, 4) uint8, alpha not multiplied in.
    """
    samples = samples_per_axis(side)
    axes, projected = project(mesh.vertices, camera, side * samples)
    screen = projected[mesh.faces]  # (F, 3, 3)
    front = screen_area(screen) < 0  # y runs down, so outward faces turn the other way
    nearest = rasterise(screen[front], side * samples)
    hit = nearest >= 0
    picture = np.zeros((*nearest.shape, 4))
    picture[hit, :3] = shade(mesh, axes[2])[front][nearest[hit]]
    picture[hit, 3] = 1
    return resolve(picture, samples)


def samples_per_axis(side: int) -> int:
    """Return the samples per pixel and axis of a picture of this side."""
    return 3 if side <= 96 else 2


def project(vertices: Array, camera: NDArray[np.float32], side: int) -> tuple[Array, Array]:
    """Return where a camera sees points.

    Args:
        vertices: (..., 3) canonical.
        camera: (5,) as `draw_cameras` returns; in-plane rotation must be 0.
        side: of the screen in samples.

    Returns:
        The (3, 3) axes of `view_axes`, and (..., 3) x, y (downwards) in samples and nearness,
        which is 1 / distance and so linear on the screen.
    """
    axes = view_axes(float(camera[0]), float(camera[1]))
    seen = vertices @ axes.T
    nearness = 1 / (UNIT_DISTANCE * float(camera[3]) - seen[..., 2])
    scale = side / (2 * math.tan(math.radians(float(camera[4])) / 2))
    x = side / 2 + scale * seen[..., 0] * nearness
    y = side / 2 - scale * seen[..., 1] * nearness
    return axes, np.stack((x, y, nearness), axis=-1)


def shade(mesh: Mesh, towards: Array) -> Array:
    """Return the (F, 3) lit colors: ambient, a fixed sun and a light at the camera."""
    light = brightness(unit_normals(mesh.vertices[mesh.faces]), towards)
    return np.clip(mesh.colors * light[:, None], 0, 1)


def unit_normals(corners: Array) -> Array:
    """Return the (F, 3) normals of (F, 3, 3) corners, counter-clockwise; 0 without an area."""
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    return normals


def brightness(normals: Array, towards: Array) -> Array:
    """Return the (F,) light on faces: ambient, a fixed sun and a light at the camera."""
    light = _AMBIENT + _SUNLIGHT * np.maximum(0, normals @ _SUN)
    light += _HEADLIGHT * np.maximum(0, normals @ towards)
    return light


def rasterise(screen: Array, side: int) -> NDArray[np.int64]:
    """Return which triangle is nearest at each pixel center.

    Every triangle is cut into spans of one pixel row, all spans at once; then the pixels of all
    spans compete by nearness.

    Args:
        screen: (F, 3, 3) x and y in pixels and nearness of the corners.
        side: of the square picture in pixels.

    Returns:
        (side, side) index of the triangle, -1 where there is none.
    """
    result = np.full(side * side, -1, np.int64)
    triangle, row, left, right = _spans(screen, side)
    count = right - left
    span = np.repeat(np.arange(len(count)), count)
    column = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + left[span]
    pixel = row[span] * side + column
    slope_x, slope_y, constant = _planes(screen)
    along = slope_x[triangle]
    start = slope_y[triangle] * (row + 0.5) + constant[triangle]
    nearness = start[span] + along[span] * (column + 0.5)
    best = np.full(side * side, -np.inf)
    np.maximum.at(best, pixel, nearness)
    wins = nearness == best[pixel]
    result[pixel[wins]] = triangle[span[wins]]
    return result.reshape(side, side)


def _spans(screen: Array, side: int) -> tuple[NDArray[np.int64], ...]:
    """Return triangle, row, first column and column past the last of every span."""
    y = screen[:, :, 1]
    top = np.clip(np.ceil(y.min(axis=1) - 0.5), 0, side).astype(np.int64)
    bottom = np.clip(np.ceil(y.max(axis=1) - 0.5), 0, side).astype(np.int64)
    rows = bottom - top
    triangle = np.repeat(np.arange(len(screen)), rows)
    row = np.arange(rows.sum()) - np.repeat(np.cumsum(rows) - rows, rows) + top[triangle]
    low, high = np.full(len(row), np.inf), np.full(len(row), -np.inf)
    for start, end in ((0, 1), (1, 2), (2, 0)):
        (ax, ay), (bx, by) = _upper_first(screen[:, start, :2], screen[:, end, :2], triangle)
        crosses = (ay <= row + 0.5) != (by <= row + 0.5)
        x = ax + (row + 0.5 - ay) * (bx - ax) / np.where(crosses, by - ay, 1)
        low = np.where(crosses, np.minimum(low, x), low)
        high = np.where(crosses, np.maximum(high, x), high)
    left = np.clip(np.ceil(np.where(low <= high, low, 0) - 0.5), 0, side).astype(np.int64)
    right = np.clip(np.ceil(np.where(low <= high, high, 0) - 0.5), 0, side).astype(np.int64)
    filled = right > left
    return triangle[filled], row[filled], left[filled], right[filled]


def _upper_first(start: Array, end: Array, triangle: NDArray[np.int64]) -> tuple[Array, Array]:
    """Return x and y of both ends of each span's edge in one order, whichever way it runs.

    So the two triangles of a shared edge compute the same crossing, and no gap is left.
    """
    swap = (start[:, 1] > end[:, 1])[:, None]
    upper, lower = np.where(swap, end, start), np.where(swap, start, end)
    return upper[triangle].T, lower[triangle].T


def _planes(screen: Array) -> tuple[Array, Array, Array]:
    """Return slopes and constant of each triangle's nearness as a function of x and y."""
    first, second = screen[:, 1] - screen[:, 0], screen[:, 2] - screen[:, 0]
    area = screen_area(screen)
    slope_x = (first[:, 2] * second[:, 1] - second[:, 2] * first[:, 1]) / area
    slope_y = (second[:, 2] * first[:, 0] - first[:, 2] * second[:, 0]) / area
    constant = screen[:, 0, 2] - slope_x * screen[:, 0, 0] - slope_y * screen[:, 0, 1]
    return slope_x, slope_y, constant


def screen_area(screen: Array) -> Array:
    """Return twice the signed area of each triangle on the screen."""
    first, second = screen[:, 1] - screen[:, 0], screen[:, 2] - screen[:, 0]
    return first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]


def resolve(picture: Array, samples: int) -> NDArray[np.uint8]:
    """Average the samples of each pixel: alpha is the share that was hit.

    Args:
        picture: (side * samples, side * samples, 4) in [0, 1]; 0 where nothing was hit.
        samples: per pixel and axis.

    Returns:
        (side, side, 4) uint8, alpha not multiplied in.
    """
    side = len(picture) // samples
    mean = picture.reshape(side, samples, side, samples, 4).mean(axis=(1, 3))
    mean[..., :3] /= np.maximum(mean[..., 3:], 1e-12)
    return np.rint(mean * 255).astype(np.uint8)
