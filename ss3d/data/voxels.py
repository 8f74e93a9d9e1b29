"""Clouds of voxel grids, where a model has no usable mesh (method section 11.2)."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from ss3d.errors import DataError

MAX_VOXELS = 512**3
"""A larger grid is refused: a small file can hold a bomb."""


def voxel_cloud(
    data: bytes, name: str, num_points: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Draw points in the surface voxels of Pix3D's `voxel.mat`.

    Args:
        data: bytes of the file; its variable `voxel` is a grid of 0 and 1.
        name: what to call it in an error.
        num_points: n.
        rng: source of all randomness.

    Returns:
        (n, 3) in voxels, in the frame of `model.obj`.

    Raises:
        DataError: the file is damaged or too large, or its grid is empty.
    """
    from scipy.ndimage import binary_erosion

    grid = np.rot90(_read_grid(data, name) > 0, k=3, axes=(1, 2))  # Pix3D keeps y and z turned
    surface = np.argwhere(grid & ~binary_erosion(grid))
    if len(surface) == 0:
        raise DataError(f"{name}: the voxel grid is empty")
    chosen = surface[rng.integers(len(surface), size=num_points)]
    return (chosen + rng.random((num_points, 3))).astype(np.float32)


def _read_grid(data: bytes, name: str) -> NDArray[np.float64]:
    """Return the variable `voxel`, whose size is looked at first."""
    from scipy.io import loadmat, whosmat

    try:
        shapes = {variable: shape for variable, shape, _ in whosmat(io.BytesIO(data))}
        shape = shapes.get("voxel", ())
        fits = len(shape) == 3 and np.prod(shape, dtype=float) <= MAX_VOXELS
        grid = loadmat(io.BytesIO(data), variable_names=["voxel"])["voxel"] if fits else None
    except Exception as error:  # scipy's reader raises anything
        raise DataError(f"{name}: not a readable .mat file: {error}") from error
    if grid is None:
        raise DataError(f"{name}: expected a grid `voxel` of three axes, got {shapes}")
    return np.asarray(grid, np.float64)
