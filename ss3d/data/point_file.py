"""Clouds in the formats that lists of pairs name: .npy, .ply, .xyz."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ss3d.data.clouds import check_cloud, read_cloud
from ss3d.data.files import MAX_BYTES
from ss3d.errors import DataError

SUFFIXES = (".npy", ".ply", ".xyz")


def read_points(path: Path) -> NDArray[np.float32]:
    """Return the (n, 3) points of a file.

    Raises:
        DataError: the file is missing, damaged, too large, a mesh or not a usable cloud.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{path}: expected a cloud as one of {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise DataError(f"{path}: there is no such cloud")
    if path.stat().st_size > MAX_BYTES:
        raise DataError(f"{path}: a larger file than {MAX_BYTES} bytes")
    if suffix == ".npy":
        return _read_npy(path)
    points = _read_ply(path) if suffix == ".ply" else _read_xyz(path)
    return check_cloud(points, str(path))


def _read_npy(path: Path) -> NDArray[np.float32]:
    """Read an array of three columns or more."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    return read_cloud(data, str(path))


def _read_xyz(path: Path) -> NDArray[np.float32]:
    """Read lines of three numbers or more, separated by blanks or commas."""
    try:
        text = path.read_text().replace(",", " ")
        return np.loadtxt(io.StringIO(text), np.float32, usecols=(0, 1, 2), ndmin=2)
    except (OSError, ValueError, IndexError) as error:
        raise DataError(f"{path}: expected three numbers a line: {error}") from error


def _read_ply(path: Path) -> NDArray[np.float32]:
    """Read the vertices of a PLY file that has no faces."""
    import trimesh

    try:
        loaded = trimesh.load_scene(io.BytesIO(path.read_bytes()), file_type="ply", process=False)
        parts = list(loaded.geometry.values())
        clouds = [np.asarray(part.vertices, np.float32) for part in parts]
    except Exception as error:  # trimesh's reader raises anything
        raise DataError(f"{path}: not a readable PLY file: {error}") from error
    if any(len(getattr(part, "faces", ())) for part in parts):
        raise DataError(f"{path}: is a mesh; `ss3d data prepare meshes` takes meshes")
    return np.concatenate([np.zeros((0, 3), np.float32), *clouds])
