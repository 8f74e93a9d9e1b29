"""What this node's cache holds that no session will ask for: dead entries of the spool, old data.

Entries that still wait for the store are never touched: they are the only copy.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from ss3d.data.eviction import decoded, release
from ss3d.store import layout
from ss3d.store.protocol import Store
from ss3d.study.retention import Garbage
from ss3d.study.spool import spool_root
from ss3d.trial.history import is_complete, list_studies, load_study_spec

_PLACES = ("queue", "active", "refused")


def spool_leftovers(cache_dir: Path, store: Store, remove: bool) -> list[Garbage]:
    """Return what the spool holds that dead writers left, or that nobody needs in the store.

    That is a checkpoint of what is finished, what was refused of it, and all of a study that was
    deleted. Nothing is found while an uploader of this node runs.

    Args:
        cache_dir: the node's cache folder.
        store: that the spool is for.
        remove: it as well.
    """
    root = spool_root(cache_dir, store.address)
    if not root.is_dir():
        return []
    try:
        with FileLock(root / "lock", timeout=0):
            dead = [path for path in sorted((root / "new").glob("*")) if not _is_alive(path)]
            done = [
                path
                for place in _PLACES
                for path in sorted((root / place).glob("*"))
                if _is_settled(store, path)
            ]
            return [_entry(path, remove) for path in dead + done]
    except Timeout:
        return []


def data_caches(cache_dir: Path, store: Store, remove: bool) -> list[Garbage]:
    """Return the decoded data sets that no study of a store refers to; they can be made again.

    Args:
        cache_dir: the node's cache folder.
        store: where the studies are.
        remove: them as well.

    Raises:
        CheckpointError: a study.json is damaged.
    """
    specs = [load_study_spec(store, study) for study in list_studies(store)]
    used = {str(spec.get("data", {}).get("content_hash", ""))[:24] for spec in specs}
    unused = [path for path, content in decoded(cache_dir) if content not in used]
    sizes = {path: _num_bytes(path) for path in unused}
    return [
        Garbage("cache", path.relative_to(cache_dir).as_posix(), sizes[path])
        for path in unused
        if release(path, remove=remove)
    ]


def _is_alive(scratch: Path) -> bool:
    return psutil.pid_exists(int(scratch.name.partition("-")[0]))


def _is_settled(store: Store, entry: Path) -> bool:
    """Return whether nobody needs an entry in the store any more."""
    told = json.loads((entry / "entry.json").read_text())
    is_lost = told["kind"] == "checkpoint" or entry.parent.name == "refused"
    room, first, *rest = str(told["key"]).split("/")
    if room == "studies":
        trial = layout.trial(first, rest[1])
        is_gone = store.get(f"{trial}/spec.json") is None
        return is_gone or (is_lost and store.get(f"{trial}/result.json") is not None)
    kind = "pretrain" if room == "pretrains" else "control"
    return is_lost and is_complete(store, kind, rest[0])


def _entry(path: Path, remove: bool) -> Garbage:
    garbage = Garbage("spool", path.name, _num_bytes(path))
    if remove:
        shutil.rmtree(path, ignore_errors=True)
    return garbage


def _num_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
