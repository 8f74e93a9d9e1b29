"""Room in a node's cache: what nobody used for longest goes first, never what a process has mapped.

Whoever maps a decoded data set holds a shared lock on a file beside it for as long as its arrays
live; the kernel lets go of it when the process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import logging
import math
import os
import re
import shutil
import weakref
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from numpy.typing import NDArray

_DECODED = re.compile(r"([0-9a-f]{24})-\d+(\.partial)?")

log = logging.getLogger(__name__)


def hold(directory: Path, array: NDArray[Any]) -> None:
    """Keep a decoded data set from being removed as long as an array of it lives.

    Args:
        directory: of the data set, whose lock the caller has.
        array: mapped from there.
    """
    file = _marker(directory).open("a")
    fcntl.flock(file, fcntl.LOCK_SH)
    os.utime(file.fileno())
    weakref.finalize(array, file.close)


def decoded(cache_dir: Path) -> Iterator[tuple[Path, str]]:
    """Yield the data sets that are decoded, or half decoded, and the parts of some.

    Args:
        cache_dir: folder of all decoded data sets on this machine.

    Yields:
        The folder, and the first 24 characters of the content hash.
    """
    for pattern in ("*-*", "part-*/*-*"):
        for path in sorted(cache_dir.glob(pattern)):
            if match := _DECODED.fullmatch(path.name):
                yield path, match[1]


def release(directory: Path, *, remove: bool) -> bool:
    """Return whether nobody decodes, opens or has mapped a data set; remove it then, if wanted."""
    with (
        suppress(Timeout, BlockingIOError),
        _lock_of(directory),
        _marker(directory).open("a") as it,
    ):
        fcntl.flock(it, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if remove:
            shutil.rmtree(directory, ignore_errors=True)
        return True
    return False


def make_room(cache_dir: Path, num_bytes: int, limit_bytes: float) -> None:
    """Remove decoded data sets until another one fits.

    What is mapped stays, so the limit is exceeded where running trials need more than it allows.

    Args:
        cache_dir: folder of all decoded data sets on this machine.
        num_bytes: of the one to be decoded.
        limit_bytes: of all of them.
    """
    if math.isinf(limit_bytes):
        return
    with FileLock(cache_dir / "eviction.lock"):
        sizes = {directory: _size(directory) for directory, _ in decoded(cache_dir)}
        total = num_bytes + sum(sizes.values())
        for directory in sorted(sizes, key=_last_used):
            if total <= limit_bytes:
                return
            if release(directory, remove=True):
                log.info("%s was removed to make room", directory)
                total -= sizes[directory]
    if total > limit_bytes:
        log.warning("%s: %d bytes in use, more than the limit of %d", cache_dir, total, limit_bytes)


def _lock_of(directory: Path) -> FileLock:
    """Return the lock of whoever decodes, opens or removes a data set."""
    name = directory.name.removesuffix(".partial")
    return FileLock(directory.with_name(f"{name}.lock"), timeout=0)


def _marker(directory: Path) -> Path:
    return directory.with_name(f"{directory.name.removesuffix('.partial')}.used")


def _last_used(directory: Path) -> float:
    marker = _marker(directory)
    with suppress(FileNotFoundError):  # as below
        return (marker if marker.exists() else directory).stat().st_mtime
    return math.inf


def _size(directory: Path) -> int:
    with suppress(FileNotFoundError):  # it is moved to its place, or removed, at this moment
        return sum(path.stat().st_size for path in directory.iterdir())
    return 0
