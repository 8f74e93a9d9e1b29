"""Importer of ShapeNet in its public layout: R2N2 renderings and clouds (method section 11.1).

IMAGES/<synset>/<model>/rendering/00.png …  rendering_metadata.txt
CLOUDS/<synset>/<model>.points.ply.npy      or  <model>.npy
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ss3d.data.cache import Progress
from ss3d.data.clouds import MAX_POINTS, MIN_POINTS, count_points, read_cloud
from ss3d.data.items import ModelItem, Shape, seal_or_skip
from ss3d.data.manifest import Manifest, Skipped
from ss3d.data.parallel import counted, ordered_map
from ss3d.data.shapenet_split import Entry, list_models
from ss3d.data.shards import Plan, write_dataset
from ss3d.errors import DataError
from ss3d.store.protocol import Store


@dataclass(frozen=True)
class ShapeNetSource:
    """Where the files lie and what is taken of them."""

    images: Path
    clouds: Path
    split: Path | None = None
    """Split file; None splits by rule."""
    name: str = "shapenet"
    size: int = 137
    """Side of the renderings in pixels; any other is an error."""
    num_views: int | None = None
    """Views taken of each model, from 00; None takes as many as most models have."""
    categories: tuple[str, ...] = ()
    """Synset ids or names; empty takes all."""
    skip_bad: bool = False
    """Leave out models that cannot be used, and count them."""


@dataclass(frozen=True)
class Found:
    """The files of a model, or why it cannot be used."""

    entry: Entry
    views: tuple[Path, ...] = ()
    cloud: Path = Path()
    num_points: int = 0
    fault: str = ""


def prepare_shapenet(
    source: ShapeNetSource, store: Store, progress: Progress | None = None
) -> Manifest:
    """Import renderings and clouds into a store.

    Args:
        source: where the files lie and what is taken.
        store: where the data set goes.
        progress: called with models done and in all.

    Raises:
        DataError: a folder, image or cloud is missing or damaged (unless skipped); names it.
        RefusedError: the store holds another data set.
    """
    for folder in (source.images, source.clouds):
        if not folder.is_dir():
            raise DataError(f"{folder}: there is no such folder")
    listing = list_models(source.images, source.split).select(source.categories)
    found = list(ordered_map(lambda entry: _find(entry, source), listing.entries))
    shape = _common_shape(found, source)

    def sealed(model: Found) -> ModelItem | Skipped:
        return seal_or_skip(model.entry.key, lambda: _read(model, shape), shape, source.skip_bad)

    models = counted(ordered_map(sealed, found), len(found), progress)
    return write_dataset(models, store, Plan(source.name, listing.names, shape))


def _find(entry: Entry, source: ShapeNetSource) -> Found:
    """Look for the files of a model."""
    rendering = source.images / entry.category / entry.model_id / "rendering"
    if not rendering.is_dir():
        return Found(entry, fault=f"{rendering}: there is no such folder")
    views = tuple(sorted(rendering.glob("*.png")))[: source.num_views]
    if not views:
        return Found(entry, fault=f"{rendering}: there is no image in this folder")
    stem = source.clouds / entry.category / entry.model_id
    cloud = stem.with_name(f"{stem.name}.points.ply.npy")
    if not cloud.is_file() and (plain := stem.with_name(f"{stem.name}.npy")).is_file():
        cloud = plain
    try:
        return Found(entry, views, cloud, count_points(cloud))
    except DataError as error:
        return Found(entry, fault=str(error))


def _common_shape(found: list[Found], source: ShapeNetSource) -> Shape:
    """Return what all models share: the commonest number of views, the smallest cloud's points."""
    usable = [model for model in found if not model.fault and model.num_points >= MIN_POINTS]
    views = Counter(len(model.views) for model in usable).most_common(1)
    return Shape(
        num_views=source.num_views or (views[0][0] if views else 1),
        image_size=source.size,
        num_points=min([MAX_POINTS, *(model.num_points for model in usable)]),
    )


def _read(model: Found, shape: Shape) -> ModelItem:
    """Read the files of a model."""
    if model.fault:
        raise DataError(model.fault)
    try:
        images = [path.read_bytes() for path in model.views]
    except OSError as error:
        raise DataError(f"{model.entry.key}: {error}") from error
    return ModelItem(
        model_id=model.entry.model_id,
        category=model.entry.category,
        split=model.entry.split,
        images=images,
        cloud=read_cloud(model.cloud),
        camera=_read_camera(model.views[0].parent, shape.num_views),
    )


def _read_camera(rendering: Path, num_views: int) -> NDArray[np.float32] | None:
    """Return (views, 5) of the metadata file, or None if there is none for all views.

    Raises:
        DataError: the file is there and does not hold five numbers a line.
    """
    path = rendering / "rendering_metadata.txt"
    if not path.is_file():
        return None
    try:
        lines = [line.split() for line in path.read_text().splitlines() if line.strip()]
        camera = np.array(lines[:num_views], np.float32)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: expected five numbers a line: {error}") from error
    if camera.ndim != 2 or camera.shape[1] != 5 or not np.isfinite(camera).all():
        raise DataError(f"{path}: expected five numbers a line")
    return camera if len(camera) == num_views else None
