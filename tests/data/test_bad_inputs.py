"""What a user can hand over by mistake is named on the command line, and counted if left out."""

import json

import numpy as np
import pytest
from mesh_files import cube, image_bytes, obj, write
from pix3d_files import Pix3dTree

CHAIR = "03001627"
BROKEN_ZIP = b"PK\3\4 and no more"


@pytest.fixture
def stools(tmp_path):
    for number in range(4):
        write(tmp_path / "set" / "stool" / f"s{number}.obj", obj(*cube((1, 1, 1 + number))))
    return tmp_path / "set"


@pytest.fixture
def prepare(ss3d, tmp_path):
    """Run `ss3d data prepare` with small pictures."""

    def run(kind, *arguments):
        small = {"meshes": ("--views", 1, "--size", 32, "--workers", 1)}
        small |= {"pix3d": ("--size", 32, "--workers", 1), "shapenet": ("--size", 40), "pairs": ()}
        return ss3d("prepare", kind, *arguments, *small[kind])

    return run


def refused(result, *parts):
    """The command ended with 3 and one error that says all this."""
    code, out, err = result
    assert code == 3
    assert out == ""
    assert "Traceback" not in err
    for part in parts:
        assert part in err


def skipped(result):
    code, out, _ = result
    assert code == 0
    return {model["model"]: model["reason"] for model in json.loads(out)["skipped"]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("v 0 0 0\nv 1 0 0\n", "bad.obj: the mesh has no faces"),
        (obj(cube()[0] * (1, 1, np.nan), cube()[1]), "bad.obj: the mesh has vertices that are not"),
        (obj(cube()[0] * (0, 0, 1), cube()[1]), "bad.obj: the faces of the mesh have no area"),
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n", "bad.obj: not a readable mesh: index 8 is out"),
    ],
    ids=["no faces", "NaN", "no area", "no such vertex"],
)
def test_mesh(prepare, stools, tmp_path, content, message):
    write(stools / "stool" / "bad.obj", content)
    refused(prepare("meshes", stools, tmp_path / "out"), message, "`--skip-bad` leaves such models")
    left_out = skipped(prepare("meshes", stools, tmp_path / "out", "--skip-bad", "--json"))
    assert list(left_out) == ["stool/bad"]
    assert message in left_out["stool/bad"]


@pytest.mark.parametrize("kind", ["meshes", "pix3d", "shapenet"])
def test_broken_archive(prepare, tree, tmp_path, kind):
    path = write(tmp_path / "broken.zip", BROKEN_ZIP)
    others = (tree.clouds,) if kind == "shapenet" else ()
    refused(
        prepare(kind, path, *others, tmp_path / "out", "--skip-bad"),
        "broken.zip: not a readable zip archive: File is not a zip file",
        "compare its size with the publisher's",
    )


def test_files_missing_of_pix3d(prepare, tmp_path):
    pix3d = Pix3dTree(tmp_path / "pix3d")
    pix3d.path("bed/0003", "img").unlink()
    pix3d.path("bed/0005", "mask").unlink()
    write(pix3d.path("bed/0007", "img"), image_bytes(np.zeros((9, 9, 3))))
    for field in ("model", "voxel"):
        pix3d.path("sofa/0001", field).unlink()
    refused(prepare("pix3d", pix3d.root, tmp_path / "out"), "img/bed/0003.png: there is no such")
    left_out = skipped(prepare("pix3d", pix3d.root, tmp_path / "out", "--skip-bad", "--json"))
    assert list(left_out) == ["bed/0003", "bed/0005", "bed/0007", "sofa/0001", "sofa/0002"]
    assert "mask/bed/0005.png: there is no such file" in left_out["bed/0005"]
    assert "got 9x9 pixels, but pix3d.json says 60x40" in left_out["bed/0007"]
    assert "model.obj: there is no such file; " in left_out["sofa/0001"]
    assert "voxel.mat: there is no such file" in left_out["sofa/0001"]


def test_no_pix3d_at_all(prepare, tmp_path):
    (tmp_path / "bare").mkdir()
    refused(
        prepare("pix3d", tmp_path / "bare", tmp_path / "out"),
        "bare: there is no pix3d.json; expected the folder or zip archive that is published",
    )


def test_image_of_the_wrong_size(prepare, tree, tmp_path):
    write(tree.rendering(CHAIR, "m01") / "01.png", image_bytes(np.zeros((50, 60, 4))))
    command = ("shapenet", tree.images, tree.clouds, tmp_path / "out")
    message = f"{CHAIR}/m01 view 01: got 60x50 pixels, expected 40 on both sides"
    refused(prepare(*command), message)
    assert skipped(prepare(*command, "--skip-bad", "--json")) == {f"{CHAIR}/m01": message}


def test_split_of_unknown_models(prepare, tree, stools, tmp_path):
    pix3d = Pix3dTree(tmp_path / "pix3d")
    sets = {
        "shapenet": ((tree.images, tree.clouds), CHAIR, "m0", "rendering: there is no such folder"),
        "meshes": ((stools,), "stool", "s", "the split names it, but there is no mesh"),
        "pix3d": ((pix3d.root,), "bed", "000", "the split names it, but pix3d.json does not"),
    }
    for kind, (roots, category, stem, message) in sets.items():
        ids = [f"{stem}1", "nobody"]
        record = {"taxonomy_id": category, "train": ids, "val": [f"{stem}3"]}
        split = write(tmp_path / f"{kind}.json", json.dumps([record]))
        command = (kind, *roots, tmp_path / f"out-{kind}", "--split", split)
        refused(prepare(*command), f"{category}/nobody", message)
        left_out = skipped(prepare(*command, "--skip-bad", "--json"))
        assert list(left_out) == [f"{category}/nobody"]


def test_split_of_nothing_that_is_there(prepare, stools, tmp_path):
    records = [{"taxonomy_id": "sofa", "train": ["s1"], "val": ["s2"]}]
    split = write(tmp_path / "split.json", json.dumps(records))
    refused(
        prepare("meshes", stools, tmp_path / "out", "--split", split, "--skip-bad"),
        "not one usable model, 2 skipped, the first: ",
        "sofa/s1: the split names it, but there is no mesh",
    )


def test_split_with_a_part_that_is_unknown(prepare, stools, tmp_path):
    records = [{"taxonomy_id": "stool", "train": ["s1"], "valid": ["s2"]}]
    split = write(tmp_path / "split.json", json.dumps(records))
    refused(
        prepare("meshes", stools, tmp_path / "out", "--split", split, "--skip-bad"),
        "split.json: record 0: got the field 'valid', expected {taxonomy_id, taxonomy_name, train",
    )


def test_split_rule_of_pix3d_that_is_unknown(prepare, tmp_path):
    pix3d = Pix3dTree(tmp_path / "pix3d")
    refused(
        prepare("pix3d", pix3d.root, tmp_path / "out", "--split", "s3"),
        "--split: got 's3', expected s1, s2 or a split file",
    )


def test_category_that_does_not_exist(prepare, tree, stools, tmp_path):
    pix3d = Pix3dTree(tmp_path / "pix3d")
    sets = {
        ("shapenet", tree.images, tree.clouds): f"there is airplane (02691156), chair ({CHAIR})",
        ("meshes", stools): "there is stool (stool)",
        ("pix3d", pix3d.root): "there is bed (bed), chair (chair), sofa (sofa)",
    }
    for command, present in sets.items():
        result = prepare(*command, tmp_path / "out", "--categories", "lorry")
        refused(result, f"--categories: got 'lorry', {present}")


def test_pair_without_its_files(prepare, tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(100, 3)))
    for number in range(2):
        write(tmp_path / f"{number}.png", image_bytes(np.full((8, 8, 3), number)))
    rows = ["0.png,a.npy,train", "1.png,a.npy,val", "2.png,a.npy,val"]
    table = write(tmp_path / "list.csv", "\n".join(["image,cloud,split", *rows]))
    refused(prepare("pairs", table, tmp_path / "out"), "2.png: No such file or directory")
    left_out = skipped(prepare("pairs", table, tmp_path / "out", "--skip-bad", "--json"))
    assert list(left_out) == ["object/2"]
