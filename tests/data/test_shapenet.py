import shutil

import numpy as np
import pytest

from ss3d.data.dataset import open_dataset
from ss3d.data.shapenet import ShapeNetSource, prepare_shapenet
from ss3d.data.shapenet_split import split_by_rule
from ss3d.errors import DataError

PLANE, CHAIR = "02691156", "03001627"


def source(tree, **changes):
    return ShapeNetSource(tree.images, tree.clouds, **({"size": 40} | changes))


def records(**parts):
    return [{"taxonomy_id": PLANE, "taxonomy_name": "aeroplane", **parts}]


def test_public_layout_by_rule(tree, store):
    seen = []
    manifest = prepare_shapenet(source(tree), store, lambda *state: seen.append(state))
    assert manifest.categories == {PLANE: "airplane", CHAIR: "chair"}
    assert manifest.counts[PLANE] == {"train": 7, "val": 1, "test": 2}
    assert (manifest.num_views, manifest.image_size, manifest.num_points) == (3, 40, 300)
    assert seen[-1] == (20, 20)
    first = next(open_dataset(store).models())
    assert first.key == f"{PLANE}/m00"
    assert first.images[1] == (tree.rendering(PLANE, "m00") / "01.png").read_bytes()
    assert first.camera[1].tolist() == pytest.approx([45.5, 27.5, 0, 0.8, 25])
    kept = {tuple(point) for point in first.cloud.tolist()}
    assert kept == {tuple(p) for p in np.load(tree.cloud(PLANE, "m00")).astype(np.float32).tolist()}


def test_importing_twice_gives_the_same_hash(tree, store, tmp_path):
    from ss3d.store.directory import DirectoryStore

    first = prepare_shapenet(source(tree), store)
    second = prepare_shapenet(source(tree), DirectoryStore(tmp_path / "other"))
    assert first == second


def test_rule_is_that_of_3dattriflow():
    split = split_by_rule([f"{i:02d}" for i in reversed(range(20))])
    assert [split[f"{i:02d}"] for i in (0, 13, 14, 15, 16, 19)] == [
        "train",
        "train",
        "val",
        "val",
        "test",
        "test",
    ]


def test_split_file_decides_names_and_parts(tree, store):
    path = tree.split(
        records(train=["m03"], unlabel=["m01", "m02"], val=["m04"], test=["m00", "m05"])
    )
    manifest = prepare_shapenet(source(tree, split=path), store)
    assert manifest.categories == {PLANE: "aeroplane"}
    splits = {item.model_id: item.split for item in open_dataset(store).models()}
    assert splits == {
        "m00": "test",
        "m01": "train",
        "m02": "train",
        "m03": "train",
        "m04": "val",
        "m05": "test",
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (records(train=["m00"], test=["m00"]), "m00 is in train and in test"),
        (records(train=["nobody"]), "nobody.*there is no such folder"),
        (records(), "names no model"),
        (records(train=["m00"], valid=["m01"]), "record 0: got the field 'valid', expected {taxon"),
        ({"train": []}, "got dict, expected a list of"),
        ([{"train": []}], "record 0: got no taxonomy_id, expected {taxonomy_id"),
        (["m00"], "record 0: got str, expected {taxonomy_id"),
        (records(train="m00"), "record 0: got train that is not a list"),
    ],
)
def test_bad_split_files(tree, store, content, message):
    with pytest.raises(DataError, match=message):
        prepare_shapenet(source(tree, split=tree.split(content)), store)


def test_missing_and_damaged_split_file(tree, store, tmp_path):
    with pytest.raises(DataError, match="there is no such split file"):
        prepare_shapenet(source(tree, split=tmp_path / "none.json"), store)
    path = tmp_path / "bad.json"
    path.write_text("[")
    with pytest.raises(DataError, match="not a readable JSON file"):
        prepare_shapenet(source(tree, split=path), store)


def test_categories_and_views_are_taken_as_asked(tree, store):
    manifest = prepare_shapenet(source(tree, categories=("chair",), num_views=2), store)
    assert list(manifest.categories) == [CHAIR]
    assert manifest.num_views == 2
    assert next(open_dataset(store).models()).camera.shape == (2, 5)


def test_unknown_category_says_what_is_there(tree, store):
    with pytest.raises(DataError, match=r"got 'sofa', there is airplane \(02691156\)"):
        prepare_shapenet(source(tree, categories=("sofa",)), store)


def test_the_other_name_of_clouds_and_the_smallest_cloud(tree, store):
    tree.cloud(PLANE, "m00").unlink()
    points = np.random.default_rng(0).normal(size=(100, 6))
    np.save(tree.clouds / PLANE / "m00.npy", points)
    assert prepare_shapenet(source(tree), store).num_points == 100


def damages():
    yield "cut png", lambda t: cut(t.rendering(CHAIR, "m03") / "01.png"), "m03 view 01: not a read"
    yield "no png", lambda t: empty(t.rendering(CHAIR, "m03")), "m03/rendering: there is no image"
    yield "a view less", lambda t: (t.rendering(CHAIR, "m03") / "02.png").unlink(), "got 2 views"
    yield "no folder", lambda t: shutil.rmtree(t.rendering(CHAIR, "m03")), None
    yield "cut cloud", lambda t: cut(t.cloud(CHAIR, "m03")), "m03.points.ply.npy: not a readable"
    yield "no cloud", lambda t: t.cloud(CHAIR, "m03").unlink(), "m03.points.ply.npy: there is no"
    yield "nan", lambda t: np.save(t.cloud(CHAIR, "m03"), np.full((300, 3), np.nan)), "not finite"
    yield "few points", lambda t: np.save(t.cloud(CHAIR, "m03"), np.eye(3)), "got 3 points"
    yield (
        "metadata",
        lambda t: (t.rendering(CHAIR, "m03") / "rendering_metadata.txt").write_text("a b\n"),
        "expected five numbers",
    )


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(folder):
    for path in folder.glob("*.png"):
        path.unlink()


@pytest.mark.parametrize(
    ("damage", "message"), [pytest.param(d, m, id=name) for name, d, m in damages() if m]
)
def test_damage_is_named_or_skipped_and_counted(tree, store, damage, message):
    damage(tree)
    with pytest.raises(DataError, match=message) as error:
        prepare_shapenet(source(tree), store)
    assert "m03" in str(error.value)
    manifest = prepare_shapenet(source(tree, skip_bad=True), store)
    assert [skipped.model for skipped in manifest.skipped] == [f"{CHAIR}/m03"]
    assert manifest.num_models == 19
    assert manifest.num_points == 300


def test_listed_model_without_folder_can_be_skipped(tree, store):
    path = tree.split(records(train=["m00", "nobody"], val=["m01"]))
    manifest = prepare_shapenet(source(tree, split=path, skip_bad=True), store)
    assert [skipped.model for skipped in manifest.skipped] == [f"{PLANE}/nobody"]


def test_other_size_is_named(tree, store):
    with pytest.raises(DataError, match=r"m00 view 00: got 40x40 pixels, expected 137"):
        prepare_shapenet(source(tree, size=137), store)


def test_missing_or_empty_folders_are_named(tree, store, tmp_path):
    with pytest.raises(DataError, match=r"nowhere: there is no such folder"):
        prepare_shapenet(ShapeNetSource(tmp_path / "nowhere", tree.clouds), store)
    (tmp_path / "bare").mkdir()
    with pytest.raises(DataError, match=r"bare: no model found"):
        prepare_shapenet(ShapeNetSource(tmp_path / "bare", tree.clouds), store)
