from __future__ import annotations

import json
from pathlib import Path

import pytest

from ss3d.errors import CheckpointError, ConflictError
from ss3d.store.bundle import (
    MANIFEST,
    bundle_exists,
    delete_bundle,
    get_bundle,
    get_files,
    is_thinned,
    put_bundle,
    read_manifest,
    restore_bundle,
    thin_bundle,
)
from ss3d.store.opening import open_store
from ss3d.store.protocol import Store


@pytest.fixture
def store(each_address: str) -> Store:
    return open_store(each_address)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    directory = tmp_path / "files"
    (directory / "previews").mkdir(parents=True)
    (directory / "student.safetensors").write_bytes(b"weights")
    (directory / "previews" / "val.safetensors").write_bytes(b"clouds")
    return directory


def test_a_bundle_comes_back_as_it_was(store: Store, files: Path, tmp_path: Path) -> None:
    assert not bundle_exists(store, "b")
    put_bundle(store, "b", files)
    put_bundle(store, "b", files)
    assert bundle_exists(store, "b")
    get_bundle(store, "b", tmp_path / "out")
    assert (tmp_path / "out" / "student.safetensors").read_bytes() == b"weights"
    assert (tmp_path / "out" / "previews" / "val.safetensors").read_bytes() == b"clouds"


def test_without_a_manifest_there_is_no_bundle(store: Store, files: Path, tmp_path: Path) -> None:
    put_bundle(store, "b", files)
    store.delete(f"b/{MANIFEST}")
    assert not bundle_exists(store, "b")
    with pytest.raises(CheckpointError, match="there is no bundle b"):
        get_bundle(store, "b", tmp_path / "out")


def test_a_complete_bundle_is_not_replaced(store: Store, files: Path) -> None:
    put_bundle(store, "b", files)
    (files / "student.safetensors").write_bytes(b"other")
    with pytest.raises(ConflictError):
        put_bundle(store, "b", files)
    blob = store.get("b/student.safetensors")
    assert blob is not None
    assert blob.data == b"weights"


def test_damage_is_named(store: Store, files: Path, tmp_path: Path) -> None:
    put_bundle(store, "b", files)
    (files / "student.safetensors").write_bytes(b"weightX")
    store.put_file("b/student.safetensors", files / "student.safetensors")
    with pytest.raises(CheckpointError, match=r"b/student\.safetensors is damaged"):
        get_bundle(store, "b", tmp_path / "out")


def test_a_manifest_cannot_write_outside(store: Store, files: Path, tmp_path: Path) -> None:
    put_bundle(store, "b", files)
    blob = store.get(f"b/{MANIFEST}")
    assert blob is not None
    manifest = json.loads(blob.data)
    manifest["files"][0]["name"] = "../../escaped"
    version = store.put_if(f"b/{MANIFEST}", json.dumps(manifest).encode(), blob.version)
    with pytest.raises(CheckpointError, match="damaged"):
        get_bundle(store, "b", tmp_path / "out")
    store.put_if(f"b/{MANIFEST}", b"{", version)
    with pytest.raises(CheckpointError, match="damaged"):
        get_bundle(store, "b", tmp_path / "out")


def test_deleting_leaves_nothing(store: Store, files: Path) -> None:
    put_bundle(store, "b", files)
    delete_bundle(store, "b")
    assert list(store.list("b/")) == []


def test_a_thinned_bundle_holds_what_it_kept_and_says_what_it_lost(
    store: Store, files: Path, tmp_path: Path
) -> None:
    put_bundle(store, "b", files)
    whole = store.get(f"b/{MANIFEST}")
    for _ in range(2):
        thin_bundle(store, "b", {"previews/val.safetensors"})
    assert is_thinned(store, "b")
    assert [entry["name"] for entry in read_manifest(store, "b")] == ["previews/val.safetensors"]
    get_files(store, "b", read_manifest(store, "b"), tmp_path / "out")
    assert not (tmp_path / "out" / "student.safetensors").exists()
    with pytest.raises(CheckpointError, match=r"b: student\.safetensors: removed by `ss3d gc`"):
        get_bundle(store, "b", tmp_path / "whole")
    restore_bundle(store, "b")
    again = store.get(f"b/{MANIFEST}")
    assert whole is not None
    assert again is not None
    assert again.data == whole.data
    get_bundle(store, "b", tmp_path / "whole")


def test_what_has_lost_a_file_is_not_restored(store: Store, files: Path) -> None:
    put_bundle(store, "b", files)
    thin_bundle(store, "b", ())
    store.delete("b/student.safetensors")
    restore_bundle(store, "b")
    assert is_thinned(store, "b")
