"""Importer of ShapeNet in its public layout: R2N2 renderings and clouds (method section 11.1).

IMAGES/<synset>/<model>/rendering/00.png …  rendering_metadata.txt
CLOUDS/<synset>/<model>.points.ply.npy      or  <model>.npy
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ss3d.data.cache import Progress
from ss3d.data.clouds import MAX_POINTS, MIN_POINTS
from ss3d.data.items import ModelItem, Shape, seal_or_skip
from ss3d.data.manifest import Manifest, Skipped
from ss3d.data.parallel import counted, ordered_map
from ss3d.data.shapenet_files import Published, open_published
from ss3d.data.shapenet_split import NAMES, Entry, Listing, list_by_file, list_by_rule
from ss3d.data.shards import Plan, write_dataset
from ss3d.errors import DataError
from ss3d.store.protocol import Store


@dataclass(frozen=True)
class ShapeNetSource:
    """Where the files lie and what is taken of them."""

    images: Path
    """Folder, zip or tar archive (.tar, .tgz, .tar.xz, .tar.bz2)."""
    clouds: Path
    """The same; it may be the same archive."""
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
    views: tuple[str, ...] = ()
    num_points: int = 0
    fault: str = ""


def prepare_shapenet(
    source: ShapeNetSource, store: Store, progress: Progress | None = None
) -> Manifest:
    """Import renderings and clouds into a store; an archive gives what its folder would give.

    Args:
        source: where the files lie and what is taken.
        store: where the data set goes.
        progress: called with MiB read of each tar archive and in all, then with models done and in
            all.

    Raises:
        DataError: a folder, archive, image or cloud is missing or damaged (image or cloud: unless
            skipped); names it.
        RefusedError: the store holds another data set.
    """
    listed = list_by_file(source.split).select(source.categories) if source.split else None
    wanted = _wanted(source.categories, listed)
    with open_published(source.images, source.clouds, wanted, progress) as published:
        listing = listed or list_by_rule(published.images).select(source.categories)
        find = partial(_find, published, source.num_views)
        found = list(ordered_map(find, listing.entries))
        shape = _common_shape(found, source)

        def sealed(model: Found) -> ModelItem | Skipped:
            def read() -> ModelItem:
                return _read(published, model, shape)

            return seal_or_skip(model.entry.key, read, shape, source.skip_bad)

        models = counted(ordered_map(sealed, found), len(found), progress)
        return write_dataset(models, store, Plan(source.name, listing.names, shape))


def _wanted(categories: Sequence[str], listed: Listing | None) -> Callable[[str, str], bool]:
    """Return what tells by synset and model whether a model is taken, before all are known."""
    if listed is not None:
        keys = {entry.key for entry in listed.entries}
        return lambda synset, model: f"{synset}/{model}" in keys
    return lambda synset, _: not categories or bool({synset, NAMES.get(synset)} & {*categories})


def _find(published: Published, num_views: int | None, entry: Entry) -> Found:
    """Look for the files of a model."""
    try:
        views = published.views(entry.key)[:num_views]
        return Found(entry, views, published.count_points(entry.key))
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


def _read(published: Published, model: Found, shape: Shape) -> ModelItem:
    """Read the files of a model."""
    if model.fault:
        raise DataError(model.fault)
    entry = model.entry
    return ModelItem(
        model_id=entry.model_id,
        category=entry.category,
        split=entry.split,
        images=[published.images.read(name) for name in model.views],
        cloud=published.read_cloud(entry.key),
        camera=published.read_camera(entry.key, shape.num_views),
    )
