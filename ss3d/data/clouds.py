"""Target clouds: reading, the order they are stored in, and the unit ball."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ss3d.data.keys import keyed_order
from ss3d.errors import DataError

MAX_POINTS = 8192
"""Points kept of a larger cloud."""
MIN_POINTS = 64
"""A smaller cloud is taken for a fault."""
HEAD_BYTES = 1024
"""Of a `.npy` file; they hold the header of any array of numbers."""
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0}


def count_points(head: bytes, size: int, name: str) -> int:
    """Return the number of points of a `.npy` cloud from its header.

    Args:
        head: the first `HEAD_BYTES` of the file, or all of it.
        size: bytes of the file.
        name: what to call it in an error.

    Raises:
        DataError: the file is damaged or cut short, or does not hold (n, >= 3) numbers.
    """
    file = io.BytesIO(head)
    try:
        version = np.lib.format.read_magic(file)
        read = _HEADERS.get(version, np.lib.format.read_array_header_2_0)
        shape, _, dtype = read(file)
    except (ValueError, EOFError) as error:
        raise DataError(f"{name}: not a readable .npy cloud: {error}") from error
    _check_array(shape, dtype, name)
    expected = file.tell() + math.prod(shape) * dtype.itemsize
    if size < expected:
        raise DataError(
            f"{name}: not a readable .npy cloud: got {size} bytes, expected {expected}; it was cut "
            "short"
        )
    return shape[0]


def read_cloud(data: bytes, name: str) -> NDArray[np.float32]:
    """Return the (n, 3) points of a `.npy` file with at least three columns.

    Args:
        data: bytes of the file.
        name: what to call it in an error.

    Raises:
        DataError: the file is damaged, or does not hold a usable cloud.
    """
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError) as error:  # there is no room for its claim
        raise DataError(f"{name}: not a readable .npy cloud: {error}") from error
    if not isinstance(array, np.ndarray):
        raise DataError(f"{name}: not a readable .npy cloud: it is an archive of arrays")
    _check_array(array.shape, array.dtype, name)
    return check_cloud(np.array(array[:, :3], dtype=np.float32), name)


def check_cloud(cloud: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    """Return a cloud that can be normalized.

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
    """Move the bounding box's center to the origin and scale the largest norm to 1.

    Args:
        cloud: (n, 3), any unit.

    Returns:
        (n, 3) object units: the unit ball of method.md section 8.1.
    """
    points = cloud.astype(np.float64)
    points -= (points.min(axis=0) + points.max(axis=0)) / 2
    points /= np.linalg.norm(points, axis=1).max()
    return points.astype(np.float32)


def _check_array(shape: tuple[int, ...], dtype: np.dtype[Any], name: str) -> None:
    """Refuse what is not (n, >= 3) numbers."""
    if len(shape) != 2 or shape[1] < 3:
        raise DataError(
            f"{name}: got an array of shape {shape}, expected (n, 3) numbers or more columns"
        )
    if dtype.kind not in "fiu":
        raise DataError(f"{name}: expected numbers, got dtype {dtype}")
