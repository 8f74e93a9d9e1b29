"""Points on the surface of a triangle mesh, uniform by area."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def sample_surface(
    vertices: NDArray[np.floating],
    faces: NDArray[np.integer],
    num_points: int,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Draw points uniformly over the area of a mesh.

    Args:
        vertices: (V, 3), any unit.
        faces: (F, 3) indices into the vertices; not all of zero area.
        num_points: n.
        rng: source of all randomness.

    Returns:
        (n, 3) in the unit of the vertices.
    """
    corners = vertices[faces].astype(np.float64)  # (F, 3, 3)
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = np.cumsum(np.linalg.norm(np.cross(first, second), axis=1))
    assert area[-1] > 0, "the mesh has no area"
    chosen = np.searchsorted(area, rng.random(num_points) * area[-1], side="right")
    u, v = rng.random((2, num_points, 1))
    beyond = u + v > 1  # the other half of the parallelogram, folded back
    u, v = np.where(beyond, 1 - u, u), np.where(beyond, 1 - v, v)
    points = corners[chosen, 0] + u * first[chosen] + v * second[chosen]
    return points.astype(np.float32)
