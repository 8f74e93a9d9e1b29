"""Importer of a folder of meshes: rendered from R2N2's camera range, sampled by area."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ss3d.data.cache import Progress
from ss3d.data.clouds import MAX_POINTS
from ss3d.data.images import encode_png
from ss3d.data.items import ModelItem, Shape, seal_or_skip
from ss3d.data.keys import keyed_rng
from ss3d.data.manifest import Manifest, Skipped
from ss3d.data.mesh_file import read_surface
from ss3d.data.mesh_folder import MeshFolder, open_meshes
from ss3d.data.painted import render_surface
from ss3d.data.parallel import counted, process_map
from ss3d.data.render import draw_cameras
from ss3d.data.shapenet_split import Entry
from ss3d.data.shards import Plan, write_dataset
from ss3d.data.surface import Up
from ss3d.store.protocol import Store


@dataclass(frozen=True)
class MeshSource:
    """Where the meshes lie and how they are shown."""

    root: Path
    """Folder, which may hold zip archives, or one zip archive."""
    split: Path | None = None
    """Split file; None splits by rule."""
    name: str = "meshes"
    up: Up = "y"
    """Axis of the meshes that is up."""
    num_views: int = 24
    size: int = 137
    """Side of the views in pixels."""
    seed: int = 0
    """Decides cameras and sampled points."""
    categories: tuple[str, ...] = ()
    """By folder or name; empty takes all."""
    skip_bad: bool = False
    """Leave out meshes that cannot be used, and count them."""


def prepare_meshes(
    source: MeshSource,
    store: Store,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Manifest:
    """Render and sample meshes into a store; the number of workers changes no bit of it.

    Args:
        source: where the meshes lie and how they are shown.
        store: where the data set goes.
        workers: processes; None takes one per usable core.
        progress: called with models done and in all.

    Raises:
        DataError: a mesh or the split cannot be used (a mesh: unless skipped); names it.
        RefusedError: the store holds another data set.
        ServiceError: a worker was killed.
    """
    folder = open_meshes(source.root, source.split)
    listing = folder.listing.select(source.categories)
    shape = Shape(source.num_views, source.size, MAX_POINTS)
    make = partial(_make, folder, source, shape)
    made = process_map(make, listing.entries, workers)
    models = counted(made, len(listing.entries), progress)
    return write_dataset(models, store, Plan(source.name, listing.names, shape))


def _make(
    folder: MeshFolder, source: MeshSource, shape: Shape, entry: Entry
) -> ModelItem | Skipped:
    """Render and sample one mesh."""

    def read() -> ModelItem:
        name = folder.mesh(entry.key)
        surface = read_surface(folder.files, name).canonical(source.up)
        cameras = draw_cameras(shape.num_views, keyed_rng(source.seed, "camera", entry.key))
        views = [render_surface(surface, camera, shape.image_size) for camera in cameras]
        return ModelItem(
            model_id=entry.model_id,
            category=entry.category,
            split=entry.split,
            images=[encode_png(view) for view in views],
            cloud=surface.sample(shape.num_points, keyed_rng(source.seed, "cloud", entry.key)),
            camera=cameras,
        )

    return seal_or_skip(entry.key, read, shape, source.skip_bad)
