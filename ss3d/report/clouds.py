"""Clouds as files: `.ply` for every 3D viewer, `.npy` for Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ss3d.errors import ConfigError, DataError

Array = NDArray[np.float32]


def write_cloud(path: Path, cloud: Array, ascii: bool = False) -> None:
    """Write one cloud; the suffix decides the format.

    Args:
        path: ends in `.ply` or `.npy`; its folder is made.
        cloud: (N, 3) float32, object units.
        ascii: write `.ply` as text with the shortest digits that read back the same.

    Raises:
        ConfigError: the suffix is another one.
    """
    points = np.ascontiguousarray(cloud, dtype="<f4")
    assert points.ndim == 2
    assert points.shape[1] == 3
    path.parent.mkdir(parents=True, exist_ok=True)
    match path.suffix:
        case ".npy":
            np.save(path, points, allow_pickle=False)
        case ".ply":
            path.write_bytes(_ply(points, ascii))
        case suffix:
            raise ConfigError(f"{path}: got {suffix!r}, expected .ply or .npy")


def read_ply(path: Path) -> Array:
    """Return the (N, 3) float32 cloud that `write_cloud` wrote as `.ply`.

    Raises:
        DataError: the file is not such a cloud.
    """
    try:
        head, end, body = path.read_bytes().partition(b"end_header\n")
        lines = head.decode("ascii").splitlines()
        count = int(next(line for line in lines if line.startswith("element vertex")).split()[2])
        if not end or lines[0] != "ply":
            raise ValueError("no header")
        if "format ascii 1.0" in lines:
            return np.array(body.split(), dtype=np.float32).reshape(count, 3)
        return np.frombuffer(body, dtype="<f4", count=3 * count).reshape(count, 3).copy()
    except (OSError, ValueError, StopIteration, IndexError) as error:
        raise DataError(f"{path}: not a .ply cloud: {error}") from error


def _ply(points: Array, ascii: bool) -> bytes:
    lines = [
        "ply",
        f"format {'ascii' if ascii else 'binary_little_endian'} 1.0",
        "comment ss3d: unit ball, canonical frame, y up",
        f"element vertex {len(points)}",
        *(f"property float {axis}" for axis in "xyz"),
        "end_header\n",
    ]
    header = "\n".join(lines).encode("ascii")
    if not ascii:
        return header + points.tobytes()
    return header + "".join(f"{x!s} {y!s} {z!s}\n" for x, y, z in points).encode("ascii")
