import json
import logging
from collections import defaultdict

import numpy as np
import pytest
import torch
from mesh_files import image_bytes, write, zip_of
from pix3d_files import COUNTS, HEIGHT, WIDTH, Pix3dTree, mask, photo

from ss3d.config import DataConfig
from ss3d.data.dataset import open_dataset
from ss3d.data.images import decode_rgba
from ss3d.data.loader import load_data
from ss3d.data.pix3d import Pix3dSource, prepare_pix3d
from ss3d.errors import DataError
from ss3d.store.directory import DirectoryStore

SIDE = 24  # 1.2 times the box of 20: no resampling


@pytest.fixture
def pix3d(tmp_path):
    return Pix3dTree(tmp_path / "pix3d")


def prepare(tree, store, **changes):
    root = tree.root if isinstance(tree, Pix3dTree) else tree
    return prepare_pix3d(Pix3dSource(root, **({"size": SIDE} | changes)), store, workers=1)


def by_key(store):
    return {item.key: item for item in open_dataset(store).models()}


def test_items_are_images_with_the_cloud_of_their_model(pix3d, store):
    seen = []
    source = Pix3dSource(pix3d.root, size=SIDE)
    manifest = prepare_pix3d(source, store, 1, lambda *state: seen.append(state))
    assert manifest.categories == {"bed": "bed", "sofa": "sofa"}  # all but chair
    assert manifest.num_models == 20
    assert (manifest.num_views, manifest.image_size, manifest.num_points) == (1, SIDE, 8192)
    assert manifest.alpha == "mask"
    assert seen[-1] == (30, 30)  # ten models, twenty images
    assert [done for done, _ in seen] == list(range(1, 31))
    items = by_key(store)
    same, other = items["bed/0002"].cloud, items["bed/0003"].cloud
    extent = np.ptp(items["bed/0001"].cloud, axis=0)
    assert extent[2] / extent[0] == pytest.approx(2, rel=1e-3)
    assert np.ptp(same, axis=0) == pytest.approx(extent)
    assert np.ptp(other, axis=0)[2] / np.ptp(other, axis=0)[0] == pytest.approx(4, rel=1e-3)


def test_object_is_cut_out_and_its_mask_is_alpha(pix3d, store):
    prepare(pix3d, store)
    pixels = decode_rgba(by_key(store)["bed/0003"].images[0], "bed/0003")
    assert pixels[2:22, 2:22].reshape(-1, 4).tolist() == [[200, 0, 2, 255]] * 400
    edge = np.ones((SIDE, SIDE), bool)
    edge[2:22, 2:22] = False
    assert np.unique(pixels[edge], axis=0).tolist() == [[100, 110, 120, 0]]  # the wall is kept


def test_border_of_the_photo_pads_white(pix3d, store):
    record = pix3d.record("bed/0003")
    record["bbox"] = [0, 10, 20, 30]
    pix3d.save()
    prepare(pix3d, store)
    pixels = decode_rgba(by_key(store)["bed/0003"].images[0], "bed/0003")
    assert np.unique(pixels[:, :2].reshape(-1, 4), axis=0).tolist() == [[255, 255, 255, 0]]
    assert pixels[12, 2].tolist() == [100, 110, 120, 0]
    assert pixels[12, 23].tolist() == [200, 0, 2, 255]


def load(store, tmp_path, **changes):
    values = {"image_size": 32, "crop": 1, "num_target_points": 64, "labeled_ratio": 1, **changes}
    return load_data(open_dataset(store), DataConfig(**values), tmp_path / "cache")


def test_mask_option(pix3d, store, tmp_path):
    prepare(pix3d, store, size=32)
    whole, masked = (load(store, tmp_path, use_mask=flag) for flag in (False, True))
    for data in (whole, masked):
        rgba = next(iter(data.validation.evaluation()))[0]
        drawn, clouds = data.labeled.batch(torch.arange(3), torch.Generator().manual_seed(0))
        assert clouds.shape == (3, 64, 3)
        if data is whole:
            assert (rgba[..., 3] == 255).all()
            assert (drawn[..., 3] == 255).all()
            assert rgba[0, 0, 0].tolist() == [100, 110, 120, 255]
        else:
            assert rgba[0, 0, 0, 3] == 0
            assert drawn[0, 16, 16, 3] == 255
    from ss3d.data.views import preview_image

    rgba = next(iter(masked.validation.evaluation()))[0]
    assert preview_image(rgba, masked.view)[0, :, 0, 0].tolist() == [1, 1, 1]
    rgba = next(iter(whole.validation.evaluation()))[0]
    assert preview_image(rgba, whole.view)[0, :, 0, 0].tolist() == pytest.approx(
        [100 / 255, 110 / 255, 120 / 255]
    )


def test_shrinking_keeps_the_photo_behind_the_mask(pix3d, store, tmp_path):
    prepare(pix3d, store, size=64)
    data = load(store, tmp_path)
    rgba = next(iter(data.validation.evaluation()))[0]
    assert rgba.shape[1] == 32
    assert rgba[0, 0, 0].tolist() == [100, 110, 120, 255]


def test_mask_option_needs_masks(dataset, tmp_path):
    config = DataConfig(image_size=32, num_target_points=50, use_mask=True)
    with pytest.raises(DataError, match=r"data\.use_mask: the images of 'tiny' have no object mas"):
        load_data(dataset, config, tmp_path / "cache")


def test_masks_are_part_of_the_content(pix3d, store, tmp_path):
    """The same pixels as renderings would be another data set."""
    from dataclasses import replace

    from ss3d.data.items import Shape
    from ss3d.data.shards import Plan, write_dataset

    manifest = prepare(pix3d, store)
    items = list(open_dataset(store).models())
    plan = Plan("pix3d", {"bed": "bed", "sofa": "sofa"}, Shape(1, SIDE, 8192))
    hashes = [
        write_dataset(items, DirectoryStore(tmp_path / name), replace(plan, alpha=name))
        for name in ("mask", "background")
    ]
    assert hashes[0].content_hash == manifest.content_hash != hashes[1].content_hash


def splits(store):
    return {key: item.split for key, item in by_key(store).items()}


def groups(tree, split, part):
    return {tree.record(key)["model"] for key, value in split.items() if value == part}


def test_s1_takes_a_quarter_of_the_images_for_test(pix3d, store):
    manifest = prepare(pix3d, store)
    assert {name: counts["test"] for name, counts in manifest.counts.items()} == {
        "bed": 3,
        "sofa": 2,
    }
    split = splits(store)
    assert groups(pix3d, split, "test") & groups(pix3d, split, "train")
    assert not groups(pix3d, split, "val") & groups(pix3d, split, "train")
    assert all(counts["val"] >= 1 for counts in manifest.counts.values())


def test_s2_divides_models(pix3d, store):
    manifest = prepare(pix3d, store, split="s2")
    split = splits(store)
    parts = [groups(pix3d, split, part) for part in ("train", "val", "test")]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 10
    assert manifest.counts["sofa"] == {"train": 4, "val": 2, "test": 2}


def test_seed_decides_the_split_and_nothing_else_does(pix3d, store, tmp_path):
    manifest = prepare(pix3d, store)
    first = splits(store)
    found = defaultdict(int)
    for seed in range(4):
        other = DirectoryStore(tmp_path / f"seed{seed}")
        again = prepare(pix3d, other, seed=seed)
        assert (again == manifest) == (seed == 0)
        found[tuple(splits(other).items())] += 1
    assert len(found) > 1
    pix3d.records.reverse()
    pix3d.save()
    reordered = DirectoryStore(tmp_path / "reordered")
    assert prepare(pix3d, reordered) == manifest
    assert splits(reordered) == first


def test_split_file_names_images(pix3d, store, tmp_path):
    records = [{"taxonomy_id": "bed", "train": ["0001"], "unlabel": ["0003"], "test": ["0005"]}]
    path = write(tmp_path / "split.json", json.dumps(records))
    manifest = prepare(pix3d, store, split=str(path))
    assert manifest.counts == {"bed": {"train": 1, "val": 1, "test": 1}}  # val is carved
    records[0]["val"] = ["0007", "9999"]
    path.write_text(json.dumps(records))
    other = DirectoryStore(tmp_path / "other")
    with pytest.raises(DataError, match=r"bed/9999: the split names it, but pix3d\.json does not"):
        prepare(pix3d, other, split=str(path))
    manifest = prepare(pix3d, other, split=str(path), skip_bad=True)
    assert manifest.counts == {"bed": {"train": 2, "val": 1, "test": 1}}
    assert [skipped.model for skipped in manifest.skipped] == ["bed/9999"]
    with pytest.raises(DataError, match=r"--split: got 's3', expected s1, s2 or a split file"):
        prepare(pix3d, other, split="s3")


def test_categories_are_taken_as_asked(pix3d, store):
    manifest = prepare(pix3d, store, categories=("chair",))
    assert manifest.num_models == COUNTS["chair"]
    with pytest.raises(DataError, match="got 'desk', there is bed"):
        prepare(pix3d, store, categories=("desk",))


def test_published_archive_is_read_in_place(pix3d, store, tmp_path):
    files = [path for path in pix3d.root.rglob("*") if path.is_file()]
    contents = {f"pix3d/{p.relative_to(pix3d.root).as_posix()}": p.read_bytes() for p in files}
    archive = zip_of(tmp_path / "pix3d.zip", contents)
    other = DirectoryStore(tmp_path / "other")
    assert prepare(archive, other).num_models == prepare(pix3d, store).num_models == 20
    whole = [by_key(s)["sofa/0004"].images for s in (store, other)]
    assert whole[0] == whole[1]


def test_gray_photos_get_three_channels(pix3d, store):
    write(pix3d.path("bed/0003", "img"), image_bytes(np.full((HEIGHT, WIDTH), 77)))
    prepare(pix3d, store)
    pixels = decode_rgba(by_key(store)["bed/0003"].images[0], "bed/0003")
    assert pixels[0, 0].tolist() == [77, 77, 77, 0]


def test_voxels_stand_in_for_a_missing_mesh(pix3d, store, tmp_path, caplog):
    prepare(pix3d, store)
    meshes = by_key(store)["bed/0001"].cloud
    pix3d.path("bed/0001", "model").unlink()
    other = DirectoryStore(tmp_path / "other")
    with caplog.at_level(logging.WARNING):
        prepare(pix3d, other)
    assert "model.obj: there is no such file; its surface voxels were sampled" in caplog.text
    voxels = by_key(other)["bed/0001"].cloud
    assert np.ptp(voxels, axis=0) == pytest.approx((2, 2, 4), abs=0.02)  # as the mesh: 1 x 1 x 2
    assert np.ptp(meshes, axis=0) * 2 / np.ptp(meshes[:, 0]) == pytest.approx((2, 2, 4), abs=0.02)


def damages():
    yield "no image", lambda t: t.path("bed/0003", "img").unlink(), "0003.png: there is no such fil"
    yield "no mask", lambda t: t.path("bed/0003", "mask").unlink(), "mask/bed/0003.png: there is no"
    yield "cut", lambda t: cut(t.path("bed/0003", "img")), "img/bed/0003.png: not a readable image"
    yield (
        "size",
        lambda t: write(t.path("bed/0003", "img"), image_bytes(photo(2)[:, :50])),
        "img/bed/0003.png: got 50x40 pixels, but pix3d.json says 60x40",
    )
    yield (
        "mask size",
        lambda t: write(t.path("bed/0003", "mask"), image_bytes(mask()[:20])),
        "mask/bed/0003.png: got 60x20 pixels, but pix3d.json says 60x40",
    )
    yield "box", lambda t: rewrite(t, bbox=[70, 10, 90, 30]), "bed/0003: got the box"
    yield "flat box", lambda t: rewrite(t, bbox=[30, 10, 30, 30]), "bed/0003: got the box"


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def rewrite(tree, **changes):
    tree.record("bed/0003").update(changes)
    tree.save()


@pytest.mark.parametrize(
    ("damage", "message"), [pytest.param(d, m, id=name) for name, d, m in damages()]
)
def test_damage_is_named_or_skipped_and_counted(pix3d, store, damage, message):
    damage(pix3d)
    with pytest.raises(DataError, match=message.replace(".", r"\.")):
        prepare(pix3d, store)
    manifest = prepare(pix3d, store, skip_bad=True)
    assert [skipped.model for skipped in manifest.skipped] == ["bed/0003"]
    assert manifest.num_models == 19


def test_model_without_mesh_and_voxels_is_named(pix3d, store):
    pix3d.path("bed/0003", "model").write_text("v 0 0 0\n")
    pix3d.path("bed/0003", "voxel").write_bytes(b"MATLAB 5.0 MAT-file, but no more")
    with pytest.raises(DataError, match=r"bed/0003.*model\.obj: .*no faces; .*voxel\.mat: not a"):
        prepare(pix3d, store)
    manifest = prepare(pix3d, store, skip_bad=True)
    assert [skipped.model for skipped in manifest.skipped] == ["bed/0003", "bed/0004"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bbox": [1, 2, 3]}, "record 2: expected two numbers as img_size and four as bbox"),
        ({"bbox": [1, 2, 3, float("nan")]}, "record 2: bbox has numbers that are not finite"),
        ({"img_size": None}, "record 2: expected two numbers as img_size"),
        ({"img": "img/bed/0001.gif"}, "record 2: bed/0001 is there twice"),
    ],
)
def test_damaged_records_are_named(pix3d, store, change, message):
    rewrite(pix3d, **change)
    with pytest.raises(DataError, match=r"pix3d\.json: " + message):
        prepare(pix3d, store)


def test_damaged_index_is_named(pix3d, store, tmp_path):
    del pix3d.record("bed/0003")["mask"]
    pix3d.save()
    with pytest.raises(DataError, match="record 2: expected an object with mask"):
        prepare(pix3d, store)
    damaged = {"{": "not a readable JSON file", "[]": "expected a list of images"}
    for content, message in damaged.items():
        write(pix3d.root / "pix3d.json", content)
        with pytest.raises(DataError, match=message):
            prepare(pix3d, store)
    with pytest.raises(DataError, match=r"there is no pix3d\.json"):
        prepare(tmp_path / "pix3d" / "img", store)
