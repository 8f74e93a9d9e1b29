import numpy as np
import pytest

from ss3d.data.clouds import unit_ball
from ss3d.data.images import decode_rgba
from ss3d.data.items import Shape
from ss3d.data.keys import keyed_rng
from ss3d.data.procedural import FAMILIES, MIN_MODELS, make_model, prepare_procedural
from ss3d.data.render import view_axes
from ss3d.data.shapenet_split import NAMES
from ss3d.store.directory import DirectoryStore

SHAPE = Shape(num_views=2, image_size=48, num_points=512)


def test_same_seed_same_bits_and_other_seeds_differ(tmp_path):
    hashes = [
        prepare_procedural(DirectoryStore(tmp_path / str(n)), "p", 16, seed, SHAPE, None)
        for n, seed in enumerate((5, 5, 6))
    ]
    assert hashes[0] == hashes[1]
    assert hashes[0].content_hash != hashes[2].content_hash
    assert hashes[0].shards == hashes[1].shards


def test_smallest_set_can_be_trained_and_validated(tmp_path):
    manifest = prepare_procedural(
        DirectoryStore(tmp_path), "p", MIN_MODELS, 0, Shape(1, 32, 64), None
    )
    assert list(manifest.categories) == list(FAMILIES)
    assert all(c == {"train": 1, "val": 1, "test": 0} for c in manifest.counts.values())


def test_a_model_is_a_function_of_seed_and_number():
    assert make_model(11, 3, SHAPE).digest == make_model(11, 3, SHAPE).digest
    assert make_model(11, 3, SHAPE).digest != make_model(19, 3, SHAPE).digest


def test_categories_are_those_of_shapenet():
    assert {synset: name for synset, (name, _) in FAMILIES.items()}.items() <= NAMES.items()


@pytest.mark.parametrize("synset", FAMILIES)
def test_every_object_is_valid_varied_and_in_the_picture(synset):
    name, build = FAMILIES[synset]
    extents = []
    for number in range(12):
        mesh = build(keyed_rng(0, name, number))
        assert mesh.faces.max() < len(mesh.vertices)
        assert np.isfinite(mesh.vertices).all()
        assert mesh.colors.min() >= 0
        assert mesh.colors.max() <= 1
        size = np.ptp(mesh.vertices, axis=0)
        assert np.linalg.norm(size) == pytest.approx(1)
        extents.append(size)
    assert np.std(extents, axis=0).max() > 0.01
    number = list(FAMILIES).index(synset)
    item = make_model(number, 0, SHAPE)
    for data in item.images:
        alpha = decode_rgba(data, item.key)[..., 3]
        assert 0.01 < (alpha > 0).mean() < 0.8


def test_cloud_and_picture_show_the_same_thing():
    """Points, projected by the stored camera, fall on pixels that are not transparent."""
    for number in range(8):
        item = make_model(number, 1, Shape(3, 64, 512))
        # The bounding box of the mesh is centered with diagonal 1; that of the cloud almost so.
        for data, camera in zip(item.images, item.camera, strict=True):
            alpha = decode_rgba(data, item.key)[..., 3]
            seen = item.cloud @ view_axes(*camera[:2].tolist()).T
            scale = 64 / (2 * np.tan(np.radians(camera[4]) / 2))
            nearness = scale / (1.75 * camera[3] - seen[:, 2])
            columns = np.clip(32 + seen[:, 0] * nearness, 0, 63).astype(int)
            rows = np.clip(32 - seen[:, 1] * nearness, 0, 63).astype(int)
            assert (alpha[rows, columns] > 0).mean() > 0.97
    assert np.linalg.norm(unit_ball(item.cloud), axis=1).max() == pytest.approx(1)
