"""A directory that cannot be read is no empty store, and one that can only be read has a clock."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ss3d.errors import ServiceError
from ss3d.store.directory import DirectoryStore


def test_what_cannot_be_listed_is_not_empty(tmp_path: Path) -> None:
    assert list(DirectoryStore(tmp_path / "new").list("studies/")) == []
    folder = tmp_path / ("x" * 300)  # an error that root gets as well, unlike a lack of permission
    with pytest.raises(ServiceError, match=rf"store: {folder}: studies/: File name too long"):
        list(DirectoryStore(folder).list("studies/"))


def test_who_may_only_read_gets_this_machines_clock() -> None:
    kernels = Path("/sys")
    if not kernels.is_dir():
        pytest.skip("no directory that nobody can write into")
    before = time.time()
    assert before <= DirectoryStore(kernels / "ss3d").now() <= time.time()


def test_a_store_below_a_file_has_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ServiceError, match="Not a directory"):
        DirectoryStore(tmp_path / "file" / "store").now()
