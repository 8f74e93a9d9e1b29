"""Small files that claim or unfold to more than there is room for are named, not read."""

from __future__ import annotations

import gzip
import io
import json
import tarfile

import numpy as np
import pytest
from mesh_files import cube, glb, write

from ss3d.data import mesh_file, photo, tar_tree
from ss3d.data.clouds import read_cloud
from ss3d.data.files import Files
from ss3d.data.manifest import Manifest
from ss3d.data.mesh_file import read_surface
from ss3d.data.photo import cut_object, fit_square
from ss3d.data.shapenet_split import list_by_file
from ss3d.data.tar_tree import TarTree
from ss3d.errors import DataError

CHAIR = "03001627"


def header(name: str, kind: bytes, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, size
    return member.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
def test_a_name_of_a_gigabyte_is_refused_before_it_is_read(tmp_path, kind):
    path = write(tmp_path / "bomb.tgz", gzip.compress(header("x", kind, 2**30) + bytes(10**5)))
    with pytest.raises(DataError, match=r"bomb\.tgz: not a readable tar.*a header of 1073741824 b"):
        TarTree(path, lambda _: True)


def test_a_list_of_holes_without_end_is_refused(tmp_path):
    block = bytearray(header("x", tarfile.GNUTYPE_SPARSE, 0))
    block[482] = 1
    block[148:156] = b"%06o\0 " % (sum(block[:148]) + sum(block[156:]) + 8 * 32)
    path = write(tmp_path / "bomb.tar", bytes(block) + bytes(1024))
    with pytest.raises(DataError, match="a file with many holes"):
        TarTree(path, lambda _: True)


def test_an_archive_that_unfolds_a_thousandfold_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(tar_tree, "FREE_BYTES", 0)
    members = [header(f"{number}", b"0", 2**20) + bytes(2**20) for number in range(3)]
    path = write(tmp_path / "bomb.tgz", gzip.compress(b"".join(members)))
    with pytest.raises(DataError, match="at most 100 times as many; fetch it again"):
        TarTree(path, lambda _: False)


def test_a_long_thin_photo_makes_no_large_square(monkeypatch):
    monkeypatch.setattr(photo, "MAX_SIDE", 100)
    pixels = np.zeros((2, 101, 4), np.uint8)
    with pytest.raises(DataError, match="has 101 pixels a side, expected at most 100; cut or"):
        fit_square(pixels, 8)
    with pytest.raises(DataError, match="has 108 pixels a side"):
        cut_object(pixels[..., :3], pixels[..., 3], (0, 0, 90, 2), 8)
    assert fit_square(pixels[:, :100], 8).shape == (8, 8, 4)


def test_a_cloud_that_claims_more_than_there_is_room_for_is_named():
    file = io.BytesIO()
    claim = {"descr": "<f8", "fortran_order": False, "shape": (10**13, 3)}
    np.lib.format.write_array_header_1_0(file, claim)
    with pytest.raises(
        DataError, match=r"claims\.npy: not a readable \.npy cloud: Unable to alloc"
    ):
        read_cloud(file.getvalue(), "claims.npy")


def test_a_mesh_that_is_placed_many_times_counts_as_often(tmp_path, monkeypatch):
    monkeypatch.setattr(mesh_file, "MAX_FACES", 30)
    vertices, faces = cube()
    write(tmp_path / "one.glb", glb(vertices, faces, (1, 1, 1)))
    assert read_surface(Files(tmp_path), "one.glb").corners.shape == (12, 3, 3)
    lines = [f"v {x} {y} {z}" for x, y, z in vertices]
    for part in range(3):
        lines += [f"o part{part}", *("f " + " ".join(str(i + 1) for i in face) for face in faces)]
    write(tmp_path / "many.obj", "\n".join(lines))
    with pytest.raises(DataError, match=r"many\.obj: got 36 faces, expected at most 30"):
        read_surface(Files(tmp_path), "many.obj")


@pytest.mark.parametrize("name", ["../../home", "a" * 63, "A" * 64, ""])
def test_a_content_hash_names_no_folder_but_the_cache(name):
    tree = {
        "schema": 1, "name": "x", "content_hash": name, "categories": {}, "counts": {},
        "num_views": 1, "image_size": 1, "num_points": 64, "shards": [],
    }  # fmt: skip
    with pytest.raises(DataError, match="manifest of the data set here is damaged"):
        Manifest.from_json(json.dumps(tree).encode(), "here")
    tree["content_hash"] = "0" * 64
    assert Manifest.from_json(json.dumps(tree).encode(), "here").content_hash == "0" * 64


@pytest.mark.parametrize("names", [(CHAIR, "../../x"), ("..", "x"), ("/etc", "x")])
def test_a_split_names_nothing_outside_the_data_set(tmp_path, names):
    record = {"taxonomy_id": names[0], "train": [names[1]]}
    split = write(tmp_path / "split.json", json.dumps([record]))
    with pytest.raises(DataError, match=r"got the model .*expected a name inside the data set"):
        list_by_file(split)


def test_the_limit_of_ratio_leaves_real_archives_alone(tmp_path):
    assert tar_tree.MAX_RATIO >= 100
    data = np.random.default_rng(0).bytes(10**5)
    path = write(
        tmp_path / "fine.tgz",
        gzip.compress(header(f"r/{CHAIR}/m/rendering/00.png", b"0", 10**5) + data + bytes(2000)),
    )
    with TarTree(path, lambda _: True) as tree:
        assert tree.read(f"{CHAIR}/m/rendering/00.png") == data
