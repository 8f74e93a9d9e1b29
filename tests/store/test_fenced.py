"""A driver that was stopped past its lease writes nothing when it goes on."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ss3d.errors import ServiceError
from ss3d.store.directory import DirectoryStore
from ss3d.store.fenced import FencedStore
from ss3d.store.lease import Lease, take_lease


def test_writes_pass_while_the_lease_is_renewed(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    with take_lease(store, "l", "x", ttl_s=0.6) as lease:
        fenced = FencedStore(store, lease)
        time.sleep(0.7)  # longer than the term
        version = fenced.put_new("a/k", b"1")
        fenced.put_if("a/k", b"22", version)
        assert fenced.sizes("a/") == {"a/k": 2}
        fenced.delete("a/k")
        assert list(fenced.list("a/")) == []


def test_no_write_passes_when_it_may_be_somebody_elses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The renewing thread is as stopped as the process would be."""
    monkeypatch.setattr(Lease, "_renew", lambda lease: None)
    store = DirectoryStore(tmp_path / "store")
    version = store.put_new("k", b"1")
    (tmp_path / "file").write_bytes(b"2")
    with take_lease(store, "l", "x", ttl_s=0.3) as lease:
        fenced = FencedStore(store, lease)
        assert lease.is_sure
        time.sleep(0.2)  # two thirds of the term
        assert not lease.is_sure
        for write in (
            lambda: fenced.put_new("new", b"2"),
            lambda: fenced.put_if("k", b"2", version),
            lambda: fenced.put_file("k", tmp_path / "file"),
            lambda: fenced.delete("k"),
        ):
            with pytest.raises(ServiceError, match="not written while the lease is not renewed"):
                write()
        assert fenced.get("k") == (b"1", version)
        fenced.get_file("k", tmp_path / "copy")
    assert [key for key in store.list("") if key != "l"] == ["k"]
