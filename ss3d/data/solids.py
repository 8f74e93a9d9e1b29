"""Closed solids as triangles: boxes, tubes, lathes and lofts, collected with a color each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Color = tuple[float, float, float]


@dataclass(frozen=True)
class Mesh:
    """Triangles with one color each, outward normals counter-clockwise."""

    vertices: Array
    """(V, 3)."""
    faces: NDArray[np.int64]
    """(F, 3)."""
    colors: Array
    """(F, 3) in [0, 1]."""

    def canonical(self) -> Mesh:
        """Center the bounding box at the origin and scale its diagonal to 1, as ShapeNet does."""
        low, high = self.vertices.min(axis=0), self.vertices.max(axis=0)
        vertices = (self.vertices - (low + high) / 2) / np.linalg.norm(high - low)
        return Mesh(vertices, self.faces, self.colors)


class Solids:
    """A growing collection of closed solids; y is up and +z is the front."""

    def __init__(self) -> None:
        self._vertices: list[Array] = []
        self._faces: list[NDArray[np.int64]] = []
        self._colors: list[Array] = []
        self._count = 0

    def mesh(self) -> Mesh:
        """Return everything as one mesh."""
        return Mesh(
            np.concatenate(self._vertices),
            np.concatenate(self._faces),
            np.concatenate(self._colors),
        )

    def box(self, center: ArrayLike, size: ArrayLike, color: Color) -> None:
        """Add a box."""
        half, middle = np.asarray(size) / 2, np.asarray(center)
        square = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
        rings = [
            middle + half * np.column_stack((square[:, 0], np.full(4, y), square[:, 1]))
            for y in (-1, 1)
        ]
        self.loft(rings, color)

    def pillow(self, center: ArrayLike, size: ArrayLike, color: Color, edge: float) -> None:
        """Add a box whose upper and lower edges are bevelled.

        Args:
            center: of the box.
            size: along x, y and z.
            color: of all faces.
            edge: width of the bevel.
        """
        half, middle = np.asarray(size, float) / 2, np.asarray(center, float)
        edge = min(edge, *(0.9 * half))
        rings = []
        for inset, height in (
            (edge, -half[1]),
            (0, edge - half[1]),
            (0, half[1] - edge),
            (edge, half[1]),
        ):
            x, z = half[0] - inset, half[2] - inset
            c = 0.6 * edge  # corners are cut as well
            plan = [(-x, -z + c), (-x + c, -z), (x - c, -z), (x, -z + c)]
            plan += [(x, z - c), (x - c, z), (-x + c, z), (-x, z - c)]
            rings.append(middle + [(px, height, pz) for px, pz in plan])
        self.loft(rings, color)

    def tube(
        self, ends: Sequence[ArrayLike], radii: tuple[float, float], color: Color, sides: int = 12
    ) -> None:
        """Add a cylinder or truncated cone between two points."""
        start, end = (np.asarray(point, float) for point in ends)
        axis = (end - start) / np.linalg.norm(end - start)
        helper = np.eye(3)[np.argmin(np.abs(axis))]
        across = np.cross(axis, helper)
        across /= np.linalg.norm(across)
        circle = _circle(sides)
        ring = circle[:, :1] * across + circle[:, 1:] * np.cross(axis, across)
        self.loft([start + radii[0] * ring, end + radii[1] * ring], color)

    def lathe(
        self, profile: Iterable[tuple[float, float]], place: tuple[float, float], color: Color
    ) -> None:
        """Add a solid of revolution about a vertical axis.

        Args:
            profile: (radius, height) from the bottom to the top.
            place: x and z of the axis.
            color: of all faces.
        """
        circle = _circle(20)
        rings = [
            np.column_stack(
                (place[0] + r * circle[:, 0], np.full(20, y), place[1] + r * circle[:, 1])
            )
            for r, y in profile
        ]
        self.loft(rings, color)

    def loft(self, rings: Iterable[Any], color: Color) -> None:
        """Add the solid between rings of equally many points, closed at both ends.

        Args:
            rings: (n, 3) points each; end caps are fans about their mean.
            color: of all faces.
        """
        stacked = np.asarray(list(rings), float)  # (K, n, 3)
        count, sides, _ = stacked.shape
        caps = stacked[[0, -1]].mean(axis=1)
        vertices = np.concatenate((stacked.reshape(-1, 3), caps))
        here = np.arange(count * sides).reshape(count, sides)
        there = np.roll(here, -1, axis=1)
        a, b, c, d = (part.reshape(-1) for part in (here[:-1], there[:-1], here[1:], there[1:]))
        first, last = np.full(sides, count * sides), np.full(sides, count * sides + 1)
        faces = np.concatenate(
            (
                np.column_stack((a, b, d)),
                np.column_stack((a, d, c)),
                np.column_stack((there[0], here[0], first)),
                np.column_stack((here[-1], there[-1], last)),
            )
        )
        self._add(vertices, faces, color)

    def _add(self, vertices: Array, faces: NDArray[np.int64], color: Color) -> None:
        corners = vertices[faces] - vertices.mean(axis=0)
        volume = np.einsum("fi,fi->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))
        if volume < 0:
            faces = faces[:, ::-1]
        self._vertices.append(vertices)
        self._faces.append(faces + self._count)
        self._colors.append(np.tile(np.asarray(color, float), (len(faces), 1)))
        self._count += len(vertices)


def _circle(sides: int) -> Array:
    """Return (sides, 2) points of the unit circle."""
    angle = np.arange(sides) * (2 * math.pi / sides)
    return np.column_stack((np.cos(angle), np.sin(angle)))
