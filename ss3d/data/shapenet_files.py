"""ShapeNet's renderings and clouds as published: folders, zip or tar archives (section 11.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ss3d.data.cache import Progress
from ss3d.data.clouds import HEAD_BYTES, count_points, read_cloud
from ss3d.data.tar_tree import TarTree
from ss3d.data.tree import FolderTree, Tree, ZipTree
from ss3d.errors import DataError

METADATA = "rendering_metadata.txt"
"""The file of a model's cameras, beside its views."""
_CLOUD_SUFFIXES = (".points.ply.npy", ".npy")


@dataclass(frozen=True)
class Published:
    """The two places of a model's files; models are named by `<synset>/<model>`."""

    images: Tree
    clouds: Tree

    def views(self, key: str) -> tuple[str, ...]:
        """Return the names of a model's renderings, view 00 first.

        Raises:
            DataError: there is none.
        """
        rendering = f"{key}/rendering"
        names = self.images.names(rendering)
        views = tuple(f"{rendering}/{name}" for name in names if name.endswith(".png"))
        if not views:
            missing = "rendering" not in self.images.names(key)
            what = "such folder" if missing else "image in this folder"
            raise DataError(
                f"{self.images.describe(rendering)}: there is no {what}, expected 00.png, 01.png, …"
            )
        return views

    def count_points(self, key: str) -> int:
        """Return the number of points of a model's cloud from its header.

        Raises:
            DataError: the cloud is missing or damaged.
        """
        name = self._cloud(key)
        head, size = self.clouds.read(name, HEAD_BYTES), self.clouds.size(name)
        return count_points(head, size, self.clouds.describe(name))

    def read_cloud(self, key: str) -> NDArray[np.float32]:
        """Return the (n, 3) points of a model.

        Raises:
            DataError: the cloud is missing or damaged.
        """
        name = self._cloud(key)
        return read_cloud(self.clouds.read(name), self.clouds.describe(name))

    def read_camera(self, key: str, num_views: int) -> NDArray[np.float32] | None:
        """Return (views, 5) of the metadata file, or None if there is none for all views.

        Raises:
            DataError: the file is there and does not hold five numbers a line.
        """
        name = f"{key}/rendering/{METADATA}"
        if name not in self.images:
            return None
        where = self.images.describe(name)
        try:
            text = self.images.read(name).decode()
            lines = [line.split() for line in text.splitlines() if line.strip()]
            camera = np.array(lines[:num_views], np.float32)
        except ValueError as error:
            raise DataError(f"{where}: expected five numbers a line: {error}") from error
        if camera.ndim != 2 or camera.shape[1] != 5 or not np.isfinite(camera).all():
            raise DataError(f"{where}: expected five numbers a line")
        return camera if len(camera) == num_views else None

    def _cloud(self, key: str) -> str:
        """Return the name of a model's cloud: the one that is there, else the usual one."""
        names = [key + suffix for suffix in _CLOUD_SUFFIXES]
        return next((name for name in names if name in self.clouds), names[0])


@contextmanager
def open_published(
    images: Path,
    clouds: Path,
    wanted: Callable[[str, str], bool],
    progress: Progress | None = None,
) -> Iterator[Published]:
    """Open both places; a tar archive is read once, also if it holds both.

    Args:
        images: folder or archive of `<synset>/<model>/rendering/`.
        clouds: folder or archive of `<synset>/<model>.points.ply.npy`.
        wanted: tells by synset and model whether a model's files will be read.
        progress: called with MiB read of each tar archive, and in all.

    Raises:
        DataError: one is not there or a broken archive.
    """
    for path in (images, clouds):
        if not path.exists():
            raise DataError(
                f"{path}: there is no such folder or archive; expected <synset>/<model>/…"
            )

    def is_wanted(name: str) -> bool:
        synset, model, *rest = name.split("/")
        if rest:
            return name.endswith((".png", METADATA)) and wanted(synset, model)
        return any(wanted(synset, model.removesuffix(suffix)) for suffix in _CLOUD_SUFFIXES)

    with ExitStack() as stack:

        def opened(path: Path) -> Tree:
            if path.is_dir():
                return FolderTree(path)
            if _is_zip(path):
                return ZipTree(path)
            return stack.enter_context(TarTree(path, is_wanted, progress))

        of_clouds = opened(clouds)
        yield Published(of_clouds if clouds == images else opened(images), of_clouds)


def _is_zip(path: Path) -> bool:
    """Tell by its first bytes whether a file is, or was, a zip archive."""
    try:
        with path.open("rb") as file:
            return file.read(2) == b"PK"
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
