"""A data set out of nothing: parametric objects of eight ShapeNet categories."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ss3d.data.cache import Progress
from ss3d.data.furniture import cabinet, chair, lamp, sofa, table
from ss3d.data.images import encode_png
from ss3d.data.items import ModelItem, Shape, seal
from ss3d.data.keys import keyed_rng
from ss3d.data.manifest import Manifest, Split
from ss3d.data.parallel import counted, ordered_map
from ss3d.data.render import draw_cameras, render
from ss3d.data.shards import Plan, write_dataset
from ss3d.data.solids import Mesh
from ss3d.data.vehicles import airplane, car, vessel
from ss3d.points.sampling import sample_surface
from ss3d.store.protocol import Store

FAMILIES: dict[str, tuple[str, Callable[[np.random.Generator], Mesh]]] = {
    "02691156": ("airplane", airplane),
    "02933112": ("cabinet", cabinet),
    "02958343": ("car", car),
    "03001627": ("chair", chair),
    "03636649": ("lamp", lamp),
    "04256520": ("sofa", sofa),
    "04379243": ("table", table),
    "04530566": ("vessel", vessel),
}
"""Synset id to name and builder."""
MIN_MODELS = 2 * len(FAMILIES)
"""So that every category has a training and a validation model."""
NUM_POINTS = 4096

_SPLITS: tuple[Split, ...] = ("train", "val", "train", "test", "train", "train", "train")
"""Of a category's models by number, over and over: 5/7 train."""


def prepare_procedural(
    store: Store, name: str, num_models: int, seed: int, shape: Shape, progress: Progress | None
) -> Manifest:
    """Make, render and write objects, the categories by turns.

    A model is a function of the seed and its number, so a larger set contains the smaller ones.

    Args:
        store: where the data set goes.
        name: of the data set.
        num_models: at least `MIN_MODELS`.
        seed: of everything.
        shape: views, their side in pixels, and points.
        progress: called with models done and in all.

    Raises:
        RefusedError: the store holds another data set.
    """
    names = {synset: family for synset, (family, _) in FAMILIES.items()}
    synsets = list(FAMILIES)
    order = sorted(range(num_models), key=lambda n: (synsets[n % len(synsets)], n))

    made = ordered_map(lambda number: make_model(number, seed, shape), order)
    models = counted(made, num_models, progress)
    return write_dataset(models, store, Plan(name, names, shape))


def make_model(number: int, seed: int, shape: Shape) -> ModelItem:
    """Make one object: mesh, views and cloud.

    Args:
        number: from 0; decides category and split.
        seed: of the data set.
        shape: views, their side in pixels, and points.
    """
    synset = list(FAMILIES)[number % len(FAMILIES)]
    family, build = FAMILIES[synset]
    mesh = build(keyed_rng(seed, "mesh", number))
    cameras = draw_cameras(shape.num_views, keyed_rng(seed, "camera", number))
    views = [encode_png(render(mesh, camera, shape.image_size)) for camera in cameras]
    points = sample_surface(
        mesh.vertices, mesh.faces, shape.num_points, keyed_rng(seed, "cloud", number)
    )
    split = _SPLITS[number // len(FAMILIES) % len(_SPLITS)]
    item = ModelItem(f"{family}-{number:05d}", synset, split, views, points, cameras)
    return seal(item, shape)
