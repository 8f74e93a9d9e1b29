from __future__ import annotations

import json
from pathlib import Path

import pytest

from ss3d.errors import CheckpointError, ConflictError
from ss3d.store.bundle import MANIFEST, bundle_exists, delete_bundle, get_bundle, put_bundle
from ss3d.store.directory import DirectoryStore


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "store")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    directory = tmp_path / "files"
    (directory / "previews").mkdir(parents=True)
    (directory / "student.safetensors").write_bytes(b"weights")
    (directory / "previews" / "val.safetensors").write_bytes(b"clouds")
    return directory


def test_a_bundle_comes_back_as_it_was(store: DirectoryStore, files: Path, tmp_path: Path) -> None:
    assert not bundle_exists(store, "b")
    put_bundle(store, "b", files)
    put_bundle(store, "b", files)
    assert bundle_exists(store, "b")
    get_bundle(store, "b", tmp_path / "out")
    assert (tmp_path / "out" / "student.safetensors").read_bytes() == b"weights"
    assert (tmp_path / "out" / "previews" / "val.safetensors").read_bytes() == b"clouds"


def test_without_a_manifest_there_is_no_bundle(
    store: DirectoryStore, files: Path, tmp_path: Path
) -> None:
    put_bundle(store, "b", files)
    store.delete(f"b/{MANIFEST}")
    assert not bundle_exists(store, "b")
    with pytest.raises(CheckpointError, match="there is no bundle b"):
        get_bundle(store, "b", tmp_path / "out")


def test_a_complete_bundle_is_not_replaced(store: DirectoryStore, files: Path) -> None:
    put_bundle(store, "b", files)
    (files / "student.safetensors").write_bytes(b"other")
    with pytest.raises(ConflictError):
        put_bundle(store, "b", files)
    assert (Path(store.address) / "b" / "student.safetensors").read_bytes() == b"weights"


def test_damage_is_named(store: DirectoryStore, files: Path, tmp_path: Path) -> None:
    put_bundle(store, "b", files)
    (Path(store.address) / "b" / "student.safetensors").write_bytes(b"weightX")
    with pytest.raises(CheckpointError, match=r"b/student\.safetensors is damaged"):
        get_bundle(store, "b", tmp_path / "out")


def test_a_manifest_cannot_write_outside(
    store: DirectoryStore, files: Path, tmp_path: Path
) -> None:
    put_bundle(store, "b", files)
    path = Path(store.address) / "b" / MANIFEST
    manifest = json.loads(path.read_bytes())
    manifest["files"][0]["name"] = "../../escaped"
    path.write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="damaged"):
        get_bundle(store, "b", tmp_path / "out")
    path.write_text("{")
    with pytest.raises(CheckpointError, match="damaged"):
        get_bundle(store, "b", tmp_path / "out")


def test_deleting_leaves_nothing(store: DirectoryStore, files: Path) -> None:
    put_bundle(store, "b", files)
    delete_bundle(store, "b")
    assert list(store.list("b/")) == []
