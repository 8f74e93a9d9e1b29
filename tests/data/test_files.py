import pickle
import zipfile

import pytest
from mesh_files import write, zip_of

from ss3d.data import files as files_module
from ss3d.data.files import Files
from ss3d.errors import DataError


def test_folder_and_archives_at_its_top_are_one_tree(tmp_path):
    write(tmp_path / "chair" / "a.obj", "a")
    write(tmp_path / "chair" / "deep" / "inner.zip", b"not opened")
    zip_of(tmp_path / "table.zip", {"table/t1/model.obj": "t", "table/t1/": ""})
    files = Files(tmp_path)
    assert files.names == ["chair/a.obj", "chair/deep/inner.zip", "table.zip", "table/t1/model.obj"]
    assert files.read("chair/a.obj") == b"a"
    assert files.read("table/t1/model.obj") == b"t"
    assert files.describe("table/t1/model.obj") == f"{tmp_path}/table.zip/table/t1/model.obj"


def test_one_archive_is_a_tree_and_travels(tmp_path):
    path = zip_of(tmp_path / "set.sh3f", {"a/b/c.obj": "c"})
    files = Files(path)
    assert files.read("a/b/c.obj") == b"c"
    assert pickle.loads(pickle.dumps(files)).read("a/b/c.obj") == b"c"


def test_references_are_relative_to_the_file(tmp_path):
    files = Files(tmp_path)
    assert files.beside("chair/a/x.obj", "x.mtl") == "chair/a/x.mtl"
    assert files.beside("chair/a/x.obj", "..\\wood.png") == "chair/wood.png"
    assert files.beside("x.obj", "../../etc/passwd") not in files


def test_a_reference_never_leaves_the_folder(tmp_path):
    write(tmp_path / "secret.mtl", "secret")
    write(tmp_path / "set" / "x.obj", "x")
    files = Files(tmp_path / "set")
    for reference in ("../secret.mtl", str(tmp_path / "secret.mtl")):
        with pytest.raises(DataError, match="there is no such file"):
            files.read(files.beside("x.obj", reference))


def test_nothing_there_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere: there is no such folder or zip archive"):
        Files(tmp_path / "nowhere")


def test_broken_archives_are_named(tmp_path):
    path = write(tmp_path / "set" / "a.zip", b"PK\3\4 not a zip")
    with pytest.raises(DataError, match=r"a\.zip: not a readable zip archive"):
        Files(path)
    with pytest.raises(DataError, match=r"a\.zip: not a readable zip archive"):
        Files(path.parent)


def test_damaged_member_is_named(tmp_path):
    path = zip_of(tmp_path / "a.zip", {"x.obj": "v 1 2 3"}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"v 1 2 3", b"v 1 2 4"))
    with pytest.raises(DataError, match=r"a\.zip/x\.obj: cannot be read: Bad CRC-32"):
        Files(path).read("x.obj")


def test_bombs_are_refused_before_they_are_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(files_module, "MAX_BYTES", 1000)
    path = zip_of(tmp_path / "a.zip", {"x.obj": bytes(10**6)})
    assert path.stat().st_size < 2000
    with pytest.raises(DataError, match=r"x\.obj: got 1000000 bytes, expected at most 1000"):
        Files(path).read("x.obj")
    big = write(tmp_path / "set" / "y.obj", bytes(1001))
    with pytest.raises(DataError, match=r"y\.obj: got 1001 bytes"):
        Files(big.parent).read("y.obj")
