"""Importer of Pix3D as published (method section 11.2): one item per image.

ROOT/pix3d.json   img/<category>/NNNN.*   mask/<category>/NNNN.png   model/<category>/<model>/*

An item is an image with its model's cloud: item id = name of the image, one view. The models group
the images where val and S2 are chosen; the labeled share is one of images, as in the literature.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ss3d.data.cache import Progress
from ss3d.data.clouds import MAX_POINTS
from ss3d.data.files import Files
from ss3d.data.images import decode_rgba, encode_png
from ss3d.data.items import ModelItem, Shape, seal_or_skip
from ss3d.data.keys import keyed_rng
from ss3d.data.manifest import Manifest, Skipped
from ss3d.data.mesh_file import read_surface
from ss3d.data.parallel import counted, ordered_map, process_map
from ss3d.data.photo import cut_object
from ss3d.data.pix3d_index import Photo, read_index, split_photos
from ss3d.data.shapenet_split import Entry
from ss3d.data.shards import Plan, write_dataset
from ss3d.data.voxels import voxel_cloud
from ss3d.errors import DataError
from ss3d.store.protocol import Store

EXCLUDED = "chair"
"""The category that SS3D leaves out; asked for by name it is taken."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pix3dSource:
    """Where the files lie and what is taken of them."""

    root: Path
    """The published folder, or its zip archive."""
    split: str = "s1"
    """`s1` (by image), `s2` (by model), or a split file."""
    name: str = "pix3d"
    size: int = 242
    """Side of the stored images in pixels; 224 of them are a crop by the default `data.crop`."""
    seed: int = 0
    """Decides splits and sampled points."""
    categories: tuple[str, ...] = ()
    """By name; empty takes all but `EXCLUDED`."""
    skip_bad: bool = False
    """Leave out images that cannot be used, and count them."""


@dataclass(frozen=True)
class ModelCloud:
    """The points of a model, or why there are none."""

    points: NDArray[np.float32] | None
    fault: str = ""
    """With points: why they are those of the voxels."""


def prepare_pix3d(
    source: Pix3dSource,
    store: Store,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Manifest:
    """Import images, masks and models into a store.

    Args:
        source: where the files lie and what is taken.
        store: where the data set goes.
        workers: processes that sample models; None takes one per usable core.
        progress: called with models and images done, and in all.

    Raises:
        DataError: the index, the split, an image or a model cannot be used (an image or a model:
            unless skipped); names it.
        RefusedError: the store holds another data set.
        ServiceError: a worker was killed.
    """
    files = Files(source.root)
    photos = read_index(files)
    listing = split_photos(photos, source.split, source.seed)
    listing = listing.select(
        source.categories or [name for name in listing.names if name != EXCLUDED]
    )
    shown = [photos[entry.key] for entry in listing.entries if entry.key in photos]
    models = {photo.model: photo for photo in reversed(shown)}
    total = len(models) + len(listing.entries)
    sample = partial(_sample, files, source.seed)
    sampled = process_map(sample, list(models.values()), workers)
    clouds = dict(zip(models, counted(sampled, total, progress), strict=True))
    for cloud in clouds.values():
        if cloud.points is not None and cloud.fault:
            log.warning("%s; its surface voxels were sampled instead", cloud.fault)
    shape = Shape(1, source.size, MAX_POINTS)

    def sealed(entry: Entry) -> ModelItem | Skipped:
        def read() -> ModelItem:
            return _read(files, entry, photos, clouds, shape)

        return seal_or_skip(entry.key, read, shape, source.skip_bad)

    def advance(done: int, _: int) -> None:
        if progress is not None:
            progress(len(models) + done, total)

    items = counted(ordered_map(sealed, listing.entries), total, advance)
    return write_dataset(items, store, Plan(source.name, listing.names, shape, alpha="mask"))


def _sample(files: Files, seed: int, photo: Photo) -> ModelCloud:
    """Sample a model's mesh by area, or its voxels if the mesh cannot be used."""
    rng = keyed_rng(seed, "cloud", photo.model)
    try:
        surface = read_surface(files, photo.model).canonical("y")
        return ModelCloud(surface.sample(MAX_POINTS, rng))
    except DataError as error:
        fault = str(error)
    try:
        voxels = voxel_cloud(files.read(photo.voxel), files.describe(photo.voxel), MAX_POINTS, rng)
        return ModelCloud(voxels, fault)
    except DataError as error:
        return ModelCloud(None, f"{fault}; {error}")


def _read(
    files: Files,
    entry: Entry,
    photos: Mapping[str, Photo],
    clouds: Mapping[str, ModelCloud],
    shape: Shape,
) -> ModelItem:
    """Read one image with its mask, and cut the object out."""
    if entry.key not in photos:
        raise DataError(f"{entry.key}: the split names it, but pix3d.json does not")
    photo = photos[entry.key]
    cloud = clouds[photo.model]
    if cloud.points is None:
        raise DataError(f"{entry.key}: {cloud.fault}")
    pixels, mask = (_pixels(files, name, photo) for name in (photo.image, photo.mask))
    try:
        picture = cut_object(pixels, mask[..., 0], photo.box, shape.image_size)
    except DataError as error:
        raise DataError(f"{entry.key}: {error}") from error
    return ModelItem(
        entry.model_id, entry.category, entry.split, [encode_png(picture)], cloud.points
    )


def _pixels(files: Files, name: str, photo: Photo) -> NDArray[np.uint8]:
    """Return an image that has the size the index says."""
    where = files.describe(name)
    pixels = decode_rgba(files.read(name), where)
    height, width = pixels.shape[:2]
    if (width, height) != photo.size:
        raise DataError(
            f"{where}: got {width}x{height} pixels, but pix3d.json says "
            f"{photo.size[0]}x{photo.size[1]}"
        )
    return pixels
