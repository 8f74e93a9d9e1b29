import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mesh_files import cube, image_bytes, obj, write, zip_of
from PIL import Image
from pix3d_files import Pix3dTree

PREPARED = ("shapenet", "procedural", "meshes", "pix3d", "pairs")
PROCEDURAL = ("prepare", "procedural", "--models", "16", "--views", "2", "--size", "32")


def test_procedural_then_info_with_sheet(ss3d, tmp_path):
    out, sheet = tmp_path / "demo", tmp_path / "new" / "sheet.png"
    code, text, _ = ss3d(*PROCEDURAL, out)
    assert code == 0
    assert "airplane" in text
    code, text, _ = ss3d("info", out, "--sheet", sheet, "--json")
    tree = json.loads(text)
    assert code == 0
    assert (tree["name"], tree["models"], tree["views"], tree["points"]) == ("demo", 16, 2, 4096)
    assert tree["splits"] == {"train": 8, "val": 8, "test": 0}
    assert tree["categories"]["03001627"] == {"name": "chair", "train": 1, "val": 1, "test": 0}
    with Image.open(sheet) as picture:
        assert picture.size[0] == 6 * 2 * 96
        assert len(picture.convert("L").getcolors()) > 50


def test_same_set_again_is_fine_and_another_is_refused(ss3d, tmp_path):
    assert ss3d(*PROCEDURAL, tmp_path / "demo")[0] == 0
    assert ss3d(*PROCEDURAL, tmp_path / "demo")[0] == 0
    code, _, err = ss3d(*PROCEDURAL, "--seed", 1, tmp_path / "demo")
    assert code == 5
    assert "already holds the data set 'demo'" in err


def test_shapenet_with_a_bad_model(ss3d, tree, tmp_path):
    (tree.rendering("03001627", "m01") / "00.png").write_bytes(b"broken")
    command = ("prepare", "shapenet", tree.images, tree.clouds, tmp_path / "set", "--size", 40)
    code, _, err = ss3d(*command)
    assert code == 3
    assert "03001627/m01 view 00" in err
    assert "Traceback" not in err
    assert ss3d("info", tmp_path / "set")[0] == 3
    code, out, _ = ss3d(*command, "--skip-bad", "--json")
    assert code == 0
    assert [skipped["model"] for skipped in json.loads(out)["skipped"]] == ["03001627/m01"]
    code, out, _ = ss3d("info", tmp_path / "set")
    assert "1 skipped" in out


def test_shapenet_from_the_published_archives(ss3d, tree, tmp_path):
    images = shutil.make_archive(tmp_path / "i", "gztar", tree.images.parent, tree.images.name)
    clouds = shutil.make_archive(tmp_path / "c", "zip", tree.clouds.parent, tree.clouds.name)
    hashes = []
    for number, places in enumerate(((tree.images, tree.clouds), (images, clouds))):
        out = tmp_path / f"set{number}"
        code, text, _ = ss3d("prepare", "shapenet", *places, out, "--size", 40, "--json")
        assert code == 0
        hashes.append(json.loads(text)["content_hash"])
    assert hashes[0] == hashes[1]
    Path(images).write_bytes(Path(images).read_bytes()[:20000])
    command = ("prepare", "shapenet", images, clouds, tmp_path / "cut", "--size", 40)
    code, _, err = ss3d(*command, "--skip-bad")
    assert code == 3
    assert "i.tar.gz: not a readable tar archive, after ShapeNetRendering/" in err
    assert "fetch it again" in err
    assert "Traceback" not in err


def test_info_leaves_a_folder_without_data_alone(ss3d, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    code, _, err = ss3d("info", folder)
    assert code == 3
    assert "there is no data set in" in err
    assert list(folder.iterdir()) == []


def test_sheet_must_be_png(ss3d, tmp_path):
    ss3d(*PROCEDURAL, tmp_path / "demo")
    code, _, err = ss3d("info", tmp_path / "demo", "--sheet", tmp_path / "sheet.xyz")
    assert code == 2
    assert "ends in .png" in err


def test_meshes_from_a_folder(ss3d, tmp_path):
    for number in range(3):
        write(tmp_path / "set" / "box" / f"m{number}.obj", obj(*cube((1, 1, 1 + number))))
    command = ("prepare", "meshes", tmp_path / "set", tmp_path / "out", "--workers", 1)
    code, out, _ = ss3d(*command, "--views", 2, "--size", 32, "--up", "z", "--json")
    assert code == 0
    assert json.loads(out)["categories"] == {
        "box": {"name": "box", "train": 2, "val": 0, "test": 1}
    }
    code, _, err = ss3d(*command, "--up", "x")
    assert code == 2
    assert "--up: got 'x', expected y or z" in err
    write(tmp_path / "set" / "box" / "m1.obj", "v 0 0 0\n")
    code, _, err = ss3d(*command)
    assert code == 3
    assert "m1.obj: the mesh has no faces" in err
    assert "Traceback" not in err


def test_pix3d_with_and_without_masks(ss3d, tmp_path):
    tree = Pix3dTree(tmp_path / "pix3d")
    out, photo = tmp_path / "out", tmp_path / "new" / "photo.png"
    code, text, _ = ss3d("prepare", "pix3d", tree.root, out, "--workers", 1, "--size", 32, "--json")
    assert code == 0
    assert json.loads(text)["models"] == 20
    corners = []
    for flags in ((), ("--mask",)):
        assert ss3d("view", out, "--model", "bed/0001", "-o", photo, *flags)[0] == 0
        with Image.open(photo) as picture:
            corners.append(picture.getpixel((0, 0)))
    assert corners == [(100, 110, 120, 255), (100, 110, 120, 0)]
    assert ss3d("info", out, "--sheet", tmp_path / "sheet.png")[0] == 0
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.getpixel((3, 20)) == (100, 110, 120)
    tree.path("bed/0003", "img").unlink()
    command = ("prepare", "pix3d", tree.root, tmp_path / "other", "--workers", 1)
    assert ss3d(*command)[0] == 3
    code, text, _ = ss3d(*command, "--skip-bad", "--split", "s2", "--json")
    assert code == 0
    assert len(json.loads(text)["skipped"]) == 1


def test_pairs_of_a_list(ss3d, tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(100, 3)))
    rows = []
    for number in range(10):
        write(tmp_path / f"{number}.png", image_bytes(np.full((8, 8, 3), number)))
        rows.append(f"{number}.png,a.npy")
    path = write(tmp_path / "list.csv", "image,cloud\n" + "\n".join(rows))
    code, out, _ = ss3d("prepare", "pairs", path, tmp_path / "out", "--size", 32, "--json")
    assert code == 0
    assert json.loads(out)["splits"] == {"train": 7, "val": 1, "test": 2}
    assert ss3d("prepare", "pairs", tmp_path / "none.csv", tmp_path / "out")[0] == 3


@pytest.mark.parametrize(
    "command",
    [(), ("prepare",), *(("prepare", name) for name in PREPARED), ("info",), ("view",)],
)
def test_help_is_there(ss3d, command):
    code, out, _ = ss3d(*command, "--help")
    assert code == 0
    assert "Usage" in out


def test_recipe_for_sweet_home_3d(ss3d, tmp_path):
    """The README's script sorts a catalogue by its own categories."""
    readme = Path(__file__).parents[2] / "README.md"
    script = re.search(r"```python\n(import pathlib.*?)```", readme.read_text(), re.S)[1]
    properties = (
        "name=Test catalogue\n\nid#1=a\nname#1=Stool\ncategory#1=Living room\n"
        "model#1=/maker/stool/stool.obj\nid#2=b\ncategory#2=Bathroom \nmodel#2=/maker/tub/tub.obj\n"
    )
    mesh = obj(*cube(), "mtllib stool.mtl\nusemtl red")
    contents = {
        "PluginFurnitureCatalog.properties": properties,
        "maker/stool.png": b"icon",
        "maker/stool/stool.obj": mesh,
        "maker/stool/stool.mtl": "newmtl red\nKd 1 0 0\n",
        "maker/tub/tub.obj": mesh,
    }
    catalogue = zip_of(tmp_path / "test.sh3f", contents)
    command = [sys.executable, "-c", script, tmp_path / "sorted", catalogue]
    subprocess.run(command, check=True)
    files = (path for path in (tmp_path / "sorted").rglob("*") if path.is_file())
    assert sorted(path.relative_to(tmp_path / "sorted").as_posix() for path in files) == [
        "bathroom/maker-tub/tub.obj",
        "living-room/maker-stool/stool.mtl",
        "living-room/maker-stool/stool.obj",
    ]
    small = ("--views", 1, "--size", 32, "--workers", 1, "--json")
    for source, names in (
        (tmp_path / "sorted", {"bathroom", "living-room"}),
        (catalogue, {"maker"}),
    ):
        out = tmp_path / f"out-{len(names)}"
        code, text, _ = ss3d("prepare", "meshes", source, out, *small)
        assert code == 0
        assert set(json.loads(text)["categories"]) == names
