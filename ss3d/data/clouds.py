"""Target clouds: reading, the order they are stored in, and the unit ball."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ss3d.data.keys import keyed_order
from ss3d.errors import DataError

MAX_POINTS = 8192
"""Points kept of a larger cloud."""
MIN_POINTS = 64
"""A smaller cloud is taken for a fault."""


def count_points(path: Path) -> int:
    """Return the number of points of a `.npy` cloud from its header.

    Raises:
        DataError: the file is missing or damaged, or does not hold (n, >= 3) numbers.
    """
    return _open_cloud(path).shape[0]


def read_cloud(path: Path) -> NDArray[np.float32]:
    """Return the (n, 3) points of a `.npy` file with at least three columns.

    Raises:
        DataError: the file is missing or damaged, or does not hold a usable cloud.
    """
    return check_cloud(np.array(_open_cloud(path)[:, :3], dtype=np.float32), str(path))


def check_cloud(cloud: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    """Return a cloud that can be normalised.

    Raises:
        DataError: it has too few points, one that is not finite, or no extent.
    """
    if len(cloud) < MIN_POINTS:
        raise DataError(f"{name}: got {len(cloud)} points, expected at least {MIN_POINTS}")
    if not np.isfinite(cloud).all():
        raise DataError(f"{name}: has points that are not finite (NaN or infinite)")
    if not np.ptp(cloud, axis=0).max() > 0:
        raise DataError(f"{name}: all points are the same")
    return cloud


def stored_points(
    cloud: NDArray[np.float32], model_id: str, num_points: int
) -> NDArray[np.float32]:
    """Return the points a shard keeps, in an order keyed by the model id.

    So the first m stored points are a fixed random subset for every m.

    Args:
        cloud: (n, 3) with n >= num_points.
        model_id: of the model, without its category.
        num_points: points kept.
    """
    return np.ascontiguousarray(cloud[keyed_order(model_id, len(cloud))[:num_points]], "<f4")


def unit_ball(cloud: NDArray[np.float32]) -> NDArray[np.float32]:
    """Move the bounding box's centre to the origin and scale the largest norm to 1.

    Args:
        cloud: (n, 3), any unit.

    Returns:
        (n, 3) object units: the unit ball of method.md section 8.1.
    """
    points = cloud.astype(np.float64)
    points -= (points.min(axis=0) + points.max(axis=0)) / 2
    points /= np.linalg.norm(points, axis=1).max()
    return points.astype(np.float32)


def _open_cloud(path: Path) -> NDArray[np.generic]:
    """Map a `.npy` file of (n, >= 3) numbers."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such cloud") from error
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: not a readable .npy cloud: {error}") from error
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.shape[1] < 3:
        raise DataError(f"{path}: expected an array of (n, 3) numbers or more columns")
    if array.dtype.kind not in "fiu":
        raise DataError(f"{path}: expected numbers, got dtype {array.dtype}")
    return array
