"""What killed writers leave in a directory goes, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.store.probes import examine, stale_probes

DAY_S = 86_400.0


def age(path: Path, seconds: float) -> None:
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


def test_old_files_that_were_never_renamed_and_empty_folders_go(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    store.put_new("a/b/kept", b"1")
    for key in ("a/gone/x", "deep/er/y"):
        store.put_new(key, b"2")
        store.delete(key)
    temporary = tmp_path / "store" / ".tmp"
    for name in ("killed", "living"):
        (temporary / name).write_bytes(b"half")
    assert store.leftovers(DAY_S) == {}
    for path in ("a/gone", "deep/er", "deep", ".tmp/killed"):
        age(tmp_path / "store" / path, 2 * DAY_S)
    old = {".tmp/killed": 4, "a/gone/": 0, "deep/": 0, "deep/er/": 0}
    assert store.leftovers(DAY_S) == old == store.leftovers(DAY_S, remove=True)
    assert store.leftovers(DAY_S) == {}
    assert [path.name for path in temporary.iterdir()] == ["living"]
    assert list(store.list("")) == ["a/b/kept"]
    store.put_new("deep/er/y", b"again")


def test_probes_of_a_doctor_that_was_killed_are_stale_after_an_hour(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    probing = examine(store)
    next(probing)
    next(probing)
    living = list(store.list(layout.PROBES))
    assert living
    now = f"{store.now() - 4000:.0f}-dead"
    dead = [layout.probe(now, "absent"), layout.probe("0badc0de", "raced")]
    for key in dead:
        store.put_new(key, b"")
    assert stale_probes(store) == sorted(dead)
    probing.close()
    assert list(store.list(layout.PROBES)) == sorted(dead)
