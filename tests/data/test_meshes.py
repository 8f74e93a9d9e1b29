import json

import numpy as np
import pytest
from mesh_files import cube, glb, obj, off, ply, stl, write, zip_of

from ss3d.data.dataset import open_dataset
from ss3d.data.images import decode_rgba
from ss3d.data.meshes import MeshSource, prepare_meshes
from ss3d.data.render import view_axes
from ss3d.errors import DataError
from ss3d.store.directory import DirectoryStore

SIZES = [(1, 2, 1), (1, 1, 3), (2, 1, 1)]


@pytest.fixture
def folder(tmp_path):
    """Ten boxes as stools in folders of their own, three as tables in three formats."""
    root = tmp_path / "meshes"
    for number in range(10):
        mesh = cube((1, 1 + number / 10, 1))
        write(root / "stool" / f"s{number}" / "any name.obj", obj(*mesh))
    write(root / "02691156" / "t0.ply", ply(*cube(SIZES[0])))
    write(root / "02691156" / "t1.off", off(*cube(SIZES[1])))
    write(root / "02691156" / "t2.glb", glb(*cube(SIZES[2]), (0, 1, 0)))
    write(root / "stool" / "licence.txt", "not a mesh")
    return root


def source(root, **changes):
    return MeshSource(root, **({"num_views": 2, "size": 32} | changes))


def prepare(root, store, **changes):
    return prepare_meshes(source(root, **changes), store, workers=1)


def by_key(store):
    return {item.key: item for item in open_dataset(store).models()}


def test_folders_and_files_by_rule(folder, store):
    seen = []
    manifest = prepare_meshes(source(folder), store, 1, lambda *state: seen.append(state))
    assert manifest.categories == {"02691156": "airplane", "stool": "stool"}
    assert manifest.counts["stool"] == {"train": 7, "val": 1, "test": 2}
    assert manifest.counts["02691156"] == {"train": 2, "val": 0, "test": 1}
    assert (manifest.num_views, manifest.image_size, manifest.num_points) == (2, 32, 8192)
    assert manifest.alpha == "background"
    assert seen[-1] == (13, 13)
    assert [key for key, item in by_key(store).items() if item.split == "val"] == ["stool/s7"]


def test_cloud_lies_on_the_faces_of_the_centered_cube(folder, store):
    prepare(folder, store)
    for number, size in enumerate(SIZES):
        cloud = by_key(store)[f"02691156/t{number}"].cloud
        half = np.array(size) / np.linalg.norm(size) / 2
        off_face = np.abs(np.abs(cloud) - half).min(axis=1)
        assert off_face.max() < 1e-6
        assert (np.abs(cloud) <= half + 1e-6).all()
        area = np.array([size[1] * size[2], size[0] * size[2], size[0] * size[1]])
        nearest = np.abs(np.abs(cloud) - half).argmin(axis=1)
        assert np.bincount(nearest) / len(cloud) == pytest.approx(area / area.sum(), abs=0.02)


def test_cameras_are_those_of_r2n2_and_show_the_cloud(folder, store):
    prepare(folder, store, num_views=3)
    for item in by_key(store).values():
        assert ((item.camera[:, 1] >= 25) & (item.camera[:, 1] <= 30)).all()
        assert ((item.camera[:, 3] >= 0.65) & (item.camera[:, 3] <= 1)).all()
        for data, camera in zip(item.images, item.camera, strict=True):
            alpha = decode_rgba(data, item.key)[..., 3]
            seen = item.cloud @ view_axes(*camera[:2].tolist()).T
            scale = 32 / (2 * np.tan(np.radians(camera[4]) / 2)) / (1.75 * camera[3] - seen[:, 2])
            columns, rows = 16 + seen[:, 0] * scale, 16 - seen[:, 1] * scale
            inside = (columns > 0) & (columns < 32) & (rows > 0) & (rows < 32)
            hit = alpha[rows[inside].astype(int), columns[inside].astype(int)] > 0
            assert hit.mean() > 0.97


def test_color_reaches_the_picture(folder, store):
    prepare(folder, store)
    pixels = decode_rgba(by_key(store)["02691156/t2"].images[0], "t2")
    solid = pixels[pixels[..., 3] == 255]
    assert (solid[:, 1] > 3 * solid[:, 0]).all()


def test_z_up_turns_pictures_and_clouds(folder, store, tmp_path):
    prepare(folder, store)
    other = DirectoryStore(tmp_path / "z")
    prepare(folder, other, up="z")
    y_up, z_up = (np.ptp(by_key(s)["02691156/t1"].cloud, axis=0) for s in (store, other))
    assert y_up.argmax() == 2
    assert z_up == pytest.approx(y_up[[0, 2, 1]], abs=1e-3)


def test_workers_and_archives_change_no_bit(folder, store, tmp_path):
    manifest = prepare(folder, store)
    spread = DirectoryStore(tmp_path / "spread")
    assert prepare_meshes(source(folder), spread, workers=2) == manifest
    names = sorted(path for path in folder.rglob("*") if path.is_file())
    contents = {path.relative_to(folder).as_posix(): path.read_bytes() for path in names}
    whole = zip_of(tmp_path / "whole.zip", contents)
    assert prepare(whole, DirectoryStore(tmp_path / "a")) == manifest
    for category in ("stool", "02691156"):  # as ShapeNetCore has them
        part = {name: data for name, data in contents.items() if name.startswith(category)}
        zip_of(tmp_path / "parts" / f"{category}.zip", part)
    assert prepare(tmp_path / "parts", DirectoryStore(tmp_path / "b")) == manifest


def test_seed_decides(folder, store, tmp_path):
    manifest = prepare(folder, store)
    other = prepare(folder, DirectoryStore(tmp_path / "other"), seed=1)
    assert other.content_hash != manifest.content_hash


def test_categories_are_taken_as_asked(folder, store):
    assert list(prepare(folder, store, categories=("airplane",)).categories) == ["02691156"]
    with pytest.raises(DataError, match=r"got 'sofa', there is airplane \(02691156\)"):
        prepare(folder, store, categories=("sofa",))


def split_file(root, **parts):
    record = {"taxonomy_id": "stool", "taxonomy_name": "bar stool", **parts}
    return write(root / "split.json", json.dumps([record]))


def test_split_file_decides(folder, store, tmp_path):
    path = split_file(tmp_path, train=["s1", "s2"], val=["s0"], test=["s9"])
    manifest = prepare(folder, store, split=path)
    assert manifest.counts == {"stool": {"train": 2, "val": 1, "test": 1}}
    assert manifest.categories == {"stool": "bar stool"}


def test_unknown_model_of_a_split_is_named_or_counted(folder, store, tmp_path):
    path = split_file(tmp_path, train=["s1", "nobody"], val=["s0"])
    with pytest.raises(DataError, match="stool/nobody: the split names it, but there is no mesh"):
        prepare(folder, store, split=path)
    manifest = prepare(folder, store, split=path, skip_bad=True)
    assert [skipped.model for skipped in manifest.skipped] == ["stool/nobody"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (obj(cube()[0], []), "the mesh has no faces"),
        (obj(cube()[0] * (1, 1, np.nan), cube()[1]), "not finite"),
        (obj(cube()[0] * (0, 0, 1), cube()[1]), "no area"),
        ("v 1 2\nf 1 1 1\n", "not a readable mesh"),
    ],
)
def test_bad_mesh_is_named_or_skipped_and_counted(folder, store, content, message):
    path = write(folder / "stool" / "s3" / "any name.obj", content)
    with pytest.raises(DataError, match=message) as error:
        prepare_meshes(source(folder), store, workers=2 if "faces" in message else 1)
    assert str(path) in str(error.value)
    assert "--skip-bad" in str(error.value)
    manifest = prepare(folder, store, skip_bad=True)
    assert [skipped.model for skipped in manifest.skipped] == ["stool/s3"]
    assert message in manifest.skipped[0].reason
    assert manifest.num_models == 12


def test_several_meshes_of_a_model(folder, store):
    write(folder / "stool" / "s3" / "parts" / "leg.stl", stl(*cube()))
    with pytest.raises(DataError, match=r"stool/s3: which of .*any name\.obj.*leg\.stl is the mod"):
        prepare(folder, store)
    write(folder / "stool" / "s3" / "models" / "model_normalized.obj", obj(*cube((1, 9, 1))))
    prepare(folder, store)
    assert np.ptp(by_key(store)["stool/s3"].cloud[:, 1]) > 0.9


def test_folder_without_meshes_is_named(store, tmp_path):
    write(tmp_path / "bare" / "chair" / "readme.txt", "")
    with pytest.raises(DataError, match=r"bare: no mesh found; expected <category>/<model>\.obj"):
        prepare(tmp_path / "bare", store)
    with pytest.raises(DataError, match="nowhere: there is no such folder"):
        prepare(tmp_path / "nowhere", store)
