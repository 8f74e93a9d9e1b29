"""Files of this node that wait for their way into the store; survives workers and outages.

A worker writes an entry beside and renames it into `queue/`; the node's uploader moves it to
`active/` while it is on its way. A newer checkpoint or log of a job replaces an older one that
still waits, so an outage costs the disk one of each per job. When more waits than the limit,
workers wait before they write more.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import psutil

from ss3d.errors import CheckpointError

Kind = Literal["checkpoint", "bundle", "file", "log"]
_REPLACED = ("checkpoint", "log")
"""Kinds of which the newest alone waits."""


@dataclass(frozen=True)
class Waiting:
    """What of a node is not in the store yet."""

    num_bytes: int
    since: float | None
    """When the oldest of it was written; None if nothing waits."""


@dataclass(frozen=True)
class Entry:
    """What is to be uploaded: all files of a folder, or its one file.

    `checkpoint` is a bundle of which the store keeps the newest two; a `bundle` is put once under
    its prefix, a `file` once under its key, and never replaced; `log` replaces its file.
    """

    job: str
    kind: Kind
    key: str
    name: str = ""
    """Of the entry's folder, given by the spool."""


class Spool:
    """The waiting files of one node for one store.

    Args:
        cache_dir: the node's cache folder.
        address: of the store.
        limit_bytes: that may wait; what one job then still writes comes on top.
    """

    def __init__(self, cache_dir: Path, address: str, limit_bytes: float = math.inf) -> None:
        self.limit_bytes = limit_bytes
        self.root = spool_root(cache_dir, address)
        for name in ("new", "queue", "active", "refused"):
            (self.root / name).mkdir(parents=True, exist_ok=True)

    def folder(self) -> Path:
        """Return a new folder to write files into before `submit`."""
        path = self._scratch()
        (path / "files").mkdir(parents=True)
        return path / "files"

    def submit(self, files: Path, entry: Entry) -> None:
        """Hand a folder's files over; the folder is gone afterwards.

        Args:
            files: what `folder` returned.
            entry: where it goes.
        """
        if entry.kind in _REPLACED:
            self._drop_older(entry)
        folder = files.parent
        num_bytes = sum(path.stat().st_size for path in files.rglob("*") if path.is_file())
        (folder / "entry.json").write_text(json.dumps(asdict(entry)))
        name = f"{time.time_ns():020d}+{num_bytes}+{entry.kind}+{entry.job}"
        folder.rename(self.root / "queue" / name)

    def claim(self) -> Iterator[tuple[Entry, Path]]:
        """Yield the waiting entries in order, each moved to `active/`; `done` removes it."""
        for path in sorted((self.root / "queue").iterdir()):
            active = self.root / "active" / path.name
            try:
                path.rename(active)
            except FileNotFoundError:
                continue  # replaced by a newer checkpoint
            entry = Entry(**json.loads((active / "entry.json").read_text()) | {"name": path.name})
            yield entry, active / "files"

    def done(self, entry: Entry) -> None:
        """Remove an entry that is in the store; at once, so that no half of it is sent again."""
        trash = self._scratch()
        (self.root / "active" / entry.name).rename(trash)
        shutil.rmtree(trash, ignore_errors=True)

    def refuse(self, entry: Entry, reason: str) -> None:
        """Put aside an entry that the store will never take."""
        target = self.root / "refused" / entry.name
        (self.root / "active" / entry.name / "reason").write_text(reason)
        (self.root / "active" / entry.name).rename(target)

    def recover(self) -> None:
        """Queue again what a dead uploader had on its way; remove what was never handed in."""
        for path in (self.root / "active").iterdir():
            path.rename(self.root / "queue" / path.name)
        for path in (self.root / "new").iterdir():
            if not psutil.pid_exists(int(path.name.partition("-")[0])):
                shutil.rmtree(path, ignore_errors=True)

    def is_waiting(self, job: str) -> bool:
        """Return whether anything of a job is not in the store yet.

        Raises:
            CheckpointError: the store refused something of it.
        """
        for path in (self.root / "refused").glob(f"*+{job}"):
            reason = (path / "reason").read_text()
            raise CheckpointError(f"{job}: the store refused {path.name}: {reason}")
        return any(True for place in ("queue", "active", "queue") for _ in self._of(place, job))

    def is_empty(self) -> bool:
        """Return whether nothing waits."""
        places = ("queue", "active", "queue")
        return not any(True for place in places for _ in (self.root / place).iterdir())

    def why_full(self) -> str:
        """Return why workers wait before they write more; empty if they need not."""
        return why_full(waiting_in(self.root), self.limit_bytes)

    def forget_refused(self, job: str) -> None:
        """Remove what was refused of a job: a new attempt begins."""
        for path in self._of("refused", job):
            shutil.rmtree(path, ignore_errors=True)

    def _scratch(self) -> Path:
        return self.root / "new" / f"{os.getpid()}-{uuid.uuid4().hex}"

    def _of(self, place: str, job: str) -> Iterator[Path]:
        return (self.root / place).glob(f"*+{job}")

    def _drop_older(self, entry: Entry) -> None:
        """Remove what still waits of a job's checkpoints, or of its log."""
        for path in (self.root / "queue").glob(f"*+{entry.kind}+{entry.job}"):
            trash = self._scratch()
            with suppress(FileNotFoundError):  # it is on its way already
                path.rename(trash)
                shutil.rmtree(trash)


def spool_root(cache_dir: Path, address: str) -> Path:
    """Return the folder of a node's spool for the store at an address."""
    return cache_dir / "spool" / hashlib.sha256(address.encode()).hexdigest()[:12]


def why_full(waiting: Waiting, limit_bytes: float) -> str:
    """Return why workers of this node wait before they write more; empty if they need not."""
    if waiting.num_bytes <= limit_bytes or waiting.since is None:
        return ""
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(waiting.since))
    sizes = f"{waiting.num_bytes / 2**30:.3g} of {limit_bytes / 2**30:.3g} GiB"
    return f"the spool of {platform.node()} is full: {sizes} wait for the store since {since}"


def waiting_in(root: Path) -> Waiting:
    """Return how much waits in a spool, from the names of its entries alone.

    What the store refused does not count: it waits for nothing.
    """
    names = set()
    for place in ("queue", "active", "queue"):  # an entry may be moved meanwhile
        with suppress(FileNotFoundError):
            names |= {path.name for path in (root / place).iterdir()}
    parts = [name.split("+")[:2] for name in names]
    since = min((int(nanoseconds) / 1e9 for nanoseconds, _ in parts), default=None)
    return Waiting(sum(int(num_bytes) for _, num_bytes in parts), since)
