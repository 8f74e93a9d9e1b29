"""Triangles as they come from a file: colored at the corners, some of them textured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ss3d.data.solids import Array
from ss3d.errors import DataError
from ss3d.points.sampling import sample_surface

Up = Literal["y", "z"]
_FROM_Z_UP = np.array(((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0)))


@dataclass(frozen=True)
class Surface:
    """Triangles of any winding, seen from both sides."""

    corners: Array
    """(F, 3, 3) x, y, z of the corners."""
    colors: NDArray[np.float32]
    """(F, 3, 3) red, green, blue of the corners in [0, 1]; multiplied by the texture."""
    places: NDArray[np.float32]
    """(F, 3, 2) u, v of the corners in the texture, repeated outside [0, 1]; v runs up."""
    texture: NDArray[np.int64]
    """(F,) index of the texture, -1 without one."""
    textures: tuple[NDArray[np.float32], ...] = ()
    """(height, width, 3) in [0, 1] each."""

    def canonical(self, up: Up) -> Surface:
        """Turn y up, center the bounding box at the origin and scale its diagonal to 1.

        Args:
            up: the axis that is up now; z becomes y and y becomes -z.
        """
        corners = self.corners if up == "y" else self.corners @ _FROM_Z_UP.T
        low, high = corners.min(axis=(0, 1)), corners.max(axis=(0, 1))
        return replace(self, corners=(corners - (low + high) / 2) / np.linalg.norm(high - low))

    def sample(self, num_points: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """Return (n, 3) points, uniform over the area."""
        faces = np.arange(3 * len(self.corners)).reshape(-1, 3)
        return sample_surface(self.corners.reshape(-1, 3), faces, num_points, rng)

    def check(self, name: str) -> Surface:
        """Return the surface if it can be rendered and sampled.

        Raises:
            DataError: it has no faces, a vertex that is not finite, or no area.
        """
        if len(self.corners) == 0:
            raise DataError(f"{name}: the mesh has no faces")
        if not np.isfinite(self.corners).all():
            raise DataError(f"{name}: the mesh has vertices that are not finite (NaN or infinite)")
        extent = np.ptp(self.corners, axis=(0, 1)).max()
        if not extent > 0 or not self._area() > 1e-12 * extent**2:
            raise DataError(f"{name}: the faces of the mesh have no area")
        return self

    def _area(self) -> float:
        """Return the sum of the areas of all faces."""
        first = self.corners[:, 1] - self.corners[:, 0]
        second = self.corners[:, 2] - self.corners[:, 0]
        return float(np.linalg.norm(np.cross(first, second), axis=1).sum() / 2)


def join(parts: Sequence[Surface]) -> Surface:
    """Return several surfaces as one; each keeps its textures."""
    offsets = np.cumsum([0, *(len(part.textures) for part in parts)])
    shifted = (
        np.where(part.texture < 0, -1, part.texture + offset)
        for part, offset in zip(parts, offsets, strict=False)
    )
    return Surface(
        corners=np.concatenate([np.zeros((0, 3, 3)), *(part.corners for part in parts)]),
        colors=np.concatenate([np.zeros((0, 3, 3), np.float32), *(part.colors for part in parts)]),
        places=np.concatenate([np.zeros((0, 3, 2), np.float32), *(part.places for part in parts)]),
        texture=np.concatenate([np.zeros(0, np.int64), *shifted]),
        textures=tuple(texture for part in parts for texture in part.textures),
    )
