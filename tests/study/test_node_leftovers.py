"""What a node's cache holds that nobody will ask for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from filelock import FileLock
from memory_store import MemoryStore
from removal_records import FIRST, SECOND, put_json, put_shared, put_trial

from ss3d.store import layout
from ss3d.study.node_leftovers import data_caches, spool_leftovers
from ss3d.study.spool import Entry, Kind, Spool


@pytest.fixture
def store() -> MemoryStore:
    """A study with a finished trial; one of two pretrained states is complete."""
    store = MemoryStore()
    spec: dict[str, object] = {"schema": 1, "data": {"content_hash": "a" * 64}}
    put_json(store, layout.study("one", "study.json"), spec)
    put_trial(store, "one", 0, FIRST, "complete")
    put_shared(store, FIRST)
    put_shared(store, SECOND, is_complete=False)
    return store


def submit(spool: Spool, job: str, kind: Kind, key: str) -> None:
    files = spool.folder()
    (files / "x").write_bytes(b"x" * 100)
    spool.submit(files, Entry(job, kind, key))


def test_what_waits_for_the_store_stays_and_what_nobody_needs_goes(
    store: MemoryStore, tmp_path: Path
) -> None:
    spool = Spool(tmp_path, store.address)
    trial = layout.trial("one", "t00000", "checkpoints", "a1-000003")
    submit(spool, "needless-checkpoint", "checkpoint", trial)
    submit(spool, "wanted-log", "file", layout.trial("one", "t00000", "log", "a1.txt"))
    submit(spool, "deleted-study", "file", layout.trial("gone", "t00000", "log", "a1.txt"))
    made, unmade = (layout.pretrain(key, "checkpoints", "a1-000001") for key in (FIRST, SECOND))
    submit(spool, "needless-pretrain", "checkpoint", made)
    submit(spool, "wanted-pretrain", "checkpoint", unmade)
    submit(spool, "refused", "bundle", layout.trial("one", "t00000", "best"))
    for entry, _ in spool.claim():
        if entry.job == "refused":
            spool.refuse(entry, "no")
    living = spool.folder()
    (spool.root / "new" / "999999999-dead").mkdir()
    needless = [
        "999999999-dead",
        "deleted-study",
        "needless-checkpoint",
        "needless-pretrain",
        "refused",
    ]
    with FileLock(spool.root / "lock", thread_local=False):
        assert spool_leftovers(tmp_path, store, remove=True) == []  # an uploader runs
    found = spool_leftovers(tmp_path, store, remove=False)
    assert sorted(item.name.rpartition("+")[2] for item in found) == needless
    assert found == spool_leftovers(tmp_path, store, remove=True)
    assert spool_leftovers(tmp_path, store, remove=True) == []
    assert living.is_dir()
    spool.recover()
    assert [entry.job for entry, _ in spool.claim()] == ["wanted-log", "wanted-pretrain"]


def test_only_data_that_no_study_refers_to_goes(store: MemoryStore, tmp_path: Path) -> None:
    names = [f"{letter * 24}-64" for letter in "abc"] + [f"{'b' * 24}-64.partial", "weights-64"]
    names += [f"part-{'d' * 24}/{letter * 24}-64" for letter in "ab"]
    for name in names:
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "images.npy").write_bytes(os.urandom(10))
    with FileLock(tmp_path / f"{names[2]}.lock", thread_local=False):  # somebody decodes it
        gone = data_caches(tmp_path, store, remove=True)
    unused = {names[1], names[3], names[6]}
    assert {(item.name, item.num_bytes) for item in gone} == {(name, 10) for name in unused}
    assert {name for name in names if not (tmp_path / name).exists()} == unused
    assert data_caches(tmp_path / "none", store, remove=True) == []
