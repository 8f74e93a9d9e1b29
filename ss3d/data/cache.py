"""The node cache: a data set decoded once into memory-mapped arrays that all trials share."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from ss3d.config import canonical_json, fingerprint
from ss3d.data.clouds import unit_ball
from ss3d.data.dataset import Dataset
from ss3d.data.eviction import hold, make_room
from ss3d.data.images import decode_rgba, resize_photo, resize_rgba
from ss3d.data.items import ModelItem
from ss3d.data.manifest import Manifest, Split
from ss3d.data.parallel import ordered_map
from ss3d.errors import ServiceError

Progress = Callable[[int, int], None]
"""Called with (models done, models in all)."""

SCHEMA = 1
ARRAYS = ("images.npy", "clouds.npy")


@dataclass(frozen=True)
class CachedModel:
    """Where a model stands: row m of the clouds, `num_views` rows of the images from there."""

    model_id: str
    category: str
    split: Split
    row: int

    @property
    def key(self) -> str:
        """Return the id that is unique in a data set: `<category>/<model id>`."""
        return f"{self.category}/{self.model_id}"


@dataclass(frozen=True)
class NodeCache:
    """The arrays of a data set, mapped read-only.

    Attributes:
        images: (M * views, side, side, 4) uint8, alpha not multiplied in.
        clouds: (M, P, 3) float32, each in the unit ball, in stored order.
        index: the M models in order; model m's views are rows `m * num_views` and on.
        num_views: views of every model.
    """

    images: NDArray[np.uint8]
    clouds: NDArray[np.float32]
    index: tuple[CachedModel, ...]
    num_views: int


def open_cache(
    dataset: Dataset,
    cache_dir: Path,
    side: int,
    progress: Progress | None = None,
    limit_bytes: float = math.inf,
) -> NodeCache:
    """Map the decoded data set; one process builds it, others wait for the lock.

    A damaged cache is rebuilt. The sha256 of the arrays is checked when they are not, by inode,
    size and time of change, the very files that were checked before. What is mapped is not removed
    by others before the arrays are gone.

    Args:
        dataset: opened data set.
        cache_dir: folder of all decoded data sets on this machine.
        side: of the decoded images in pixels.
        progress: called while it is built.
        limit_bytes: of all decoded data sets: unused ones go before another is built.

    Raises:
        DataError: a shard is damaged.
        ServiceError: the folder cannot be written or the disk is full.
    """
    directory = _folder(dataset, cache_dir, side)
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{directory}.lock"):
            if not _is_intact(directory):
                make_room(cache_dir, _num_bytes(dataset.manifest, side), limit_bytes)
                _rebuild(dataset, directory, side, progress)
            cache = _map(directory)
            hold(directory, cache.images)
        return cache
    except OSError as error:
        raise ServiceError(f"cache {cache_dir}: {error.strerror or error}") from error


def is_cached(dataset: Dataset, cache_dir: Path, side: int) -> bool:
    """Return whether `open_cache` finds the data set decoded; it repairs one that is damaged."""
    return (_folder(dataset, cache_dir, side) / "index.json").exists()


def _folder(dataset: Dataset, cache_dir: Path, side: int) -> Path:
    """Return the folder of a decoded data set."""
    return cache_dir / f"{dataset.manifest.content_hash[:24]}-{side}"


def _num_bytes(manifest: Manifest, side: int) -> int:
    """Return the size of the arrays of a data set."""
    per_model = manifest.num_views * side * side * 4 + manifest.num_points * 3 * 4
    return manifest.num_models * per_model


def _map(directory: Path) -> NodeCache:
    """Map the arrays of an intact cache."""
    tree = json.loads((directory / "index.json").read_bytes())["content"]
    models = (
        CachedModel(model_id, category, split, row)
        for row, (model_id, category, split) in enumerate(tree["models"])
    )
    images, clouds = (np.load(directory / name, mmap_mode="r") for name in ARRAYS)
    return NodeCache(images, clouds, tuple(models), tree["num_views"])


def _is_intact(directory: Path) -> bool:
    """Tell whether the cache is complete and its bytes are those that were written."""
    try:
        index = json.loads((directory / "index.json").read_bytes())
        content = index["content"]
        if index["sha256"] != fingerprint(content) or content["schema"] != SCHEMA:
            return False
        stamps = _stamps(directory)
    except (OSError, ValueError, KeyError, TypeError):
        return False
    seen = directory / "verified.json"
    if seen.exists() and seen.read_text() == canonical_json(stamps):
        return True
    if any(_sha256(directory / name) != content["arrays"][name] for name in ARRAYS):
        return False
    seen.write_text(canonical_json(stamps))
    return True


def _stamps(directory: Path) -> dict[str, list[int]]:
    """Return inode, size and time of change of the arrays."""
    stats = {name: (directory / name).stat() for name in ARRAYS}
    return {name: [s.st_ino, s.st_size, s.st_mtime_ns] for name, s in stats.items()}


def _rebuild(dataset: Dataset, directory: Path, side: int, progress: Progress | None) -> None:
    """Decode the data set beside its place and move it there in one step."""
    partial = directory.with_name(f"{directory.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
    partial.mkdir()
    models = []
    for item in _fill(dataset, partial, side):
        models.append([item.model_id, item.category, item.split])
        if progress is not None:
            progress(len(models), dataset.manifest.num_models)
    content: dict[str, Any] = {
        "schema": SCHEMA,
        "num_views": dataset.manifest.num_views,
        "models": models,
        "arrays": {name: _sha256(partial / name) for name in ARRAYS},
    }
    index = {"content": content, "sha256": fingerprint(content)}
    (partial / "index.json").write_text(canonical_json(index))
    (partial / "verified.json").write_text(canonical_json(_stamps(partial)))
    shutil.rmtree(directory, ignore_errors=True)
    partial.rename(directory)


def _fill(dataset: Dataset, directory: Path, side: int) -> Iterator[ModelItem]:
    """Write the arrays; yield each model once it is in them."""
    manifest = dataset.manifest
    count, views = manifest.num_models, manifest.num_views
    images = open_memmap(
        directory / ARRAYS[0], "w+", np.uint8, shape=(count * views, side, side, 4)
    )
    clouds = open_memmap(
        directory / ARRAYS[1], "w+", np.float32, shape=(count, manifest.num_points, 3)
    )

    resize = resize_photo if manifest.alpha == "mask" else resize_rgba

    def decode(item: ModelItem) -> tuple[ModelItem, NDArray[np.uint8]]:
        pixels = [decode_rgba(data, item.key) for data in item.images]
        return item, np.stack([resize(view, side) for view in pixels])

    for row, (item, pixels) in enumerate(ordered_map(decode, dataset.models())):
        images[row * views : (row + 1) * views] = pixels
        cloud = unit_ball(item.cloud)
        assert abs(np.linalg.norm(cloud, axis=1).max() - 1) < 1e-5
        clouds[row] = cloud
        yield item
    images.flush()
    clouds.flush()


def _sha256(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
