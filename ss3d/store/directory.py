"""A directory as a store: one file per key, written by rename, swapped under a lock file."""

from __future__ import annotations

import errno
import hashlib
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock

from ss3d.errors import CheckpointError, ConflictError, ServiceError
from ss3d.store.keys import check_key, check_prefix
from ss3d.store.protocol import Blob
from ss3d.store.staging import check_sha256, staged

_CHUNK = 1 << 20
_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)


class DirectoryStore:
    """Store in a directory of this machine or of a shared file system.

    The version of an object is the sha256 of its bytes. Names that start with a dot belong to the
    store itself: `.tmp/` holds files being written, `.lock` orders conditional writes.
    """

    def __init__(self, path: Path) -> None:
        self._root = path.resolve()

    @property
    def address(self) -> str:
        """Return the directory."""
        return str(self._root)

    def get(self, key: str) -> Blob | None:
        """Return the object's bytes and version, or None."""
        path = self._path(key)
        with self._answering(key):
            try:
                data = path.read_bytes()
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                return None
        return Blob(data, _version(data))

    def put_new(self, key: str, data: bytes) -> str:
        """Write an object that must not exist; ConflictError if it does."""
        path = self._path(key)
        with self._answering(key), self._staged() as (stage, file):
            file.write(data)
            _settle(file)
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(stage, path)
            except FileExistsError as error:
                raise ConflictError(f"{key} exists already") from error
            _sync_directory(path.parent)
        return _version(data)

    def put_if(self, key: str, data: bytes, version: str) -> str:
        """Replace an object that must still have this version; ConflictError otherwise."""
        path = self._path(key)
        with self._answering(key), FileLock(self._root / ".lock"), self._staged() as (stage, file):
            blob = self.get(key)
            if blob is None or blob.version != version:
                raise ConflictError(f"{key} was changed by somebody else")
            file.write(data)
            _settle(file)
            stage.replace(path)
            _sync_directory(path.parent)
        return _version(data)

    def put_file(self, key: str, path: Path) -> str:
        """Write a file's bytes under a key; return their sha256."""
        target = self._path(key)
        with self._answering(key), self._staged() as (stage, file):
            with path.open("rb") as source:
                sha256 = _copy(source, file)
            _settle(file)
            target.parent.mkdir(parents=True, exist_ok=True)
            stage.replace(target)
            _sync_directory(target.parent)
        return sha256

    def get_file(self, key: str, path: Path, sha256: str | None = None) -> None:
        """Write an object's bytes to a file in one step; CheckpointError if damaged or missing."""
        source = self._path(key)
        with self._answering(key):
            if not source.is_file():
                raise CheckpointError(f"{self.address}: there is no {key}")
            with staged(path) as stage:
                with source.open("rb") as reader, stage.open("wb") as writer:
                    found = _copy(reader, writer)
                check_sha256(key, found, sha256)

    def list(self, prefix: str) -> Iterator[str]:
        """Yield the keys under a prefix in order of their characters."""
        top = self._root / check_prefix(prefix)
        keys: list[str] = []
        with self._answering(prefix):
            for folder, folders, files in os.walk(top, onerror=_unless_gone):
                folders[:] = [name for name in folders if not name.startswith(".")]
                inside = Path(folder).relative_to(self._root)
                keys += [(inside / name).as_posix() for name in files if not name.startswith(".")]
        yield from sorted(keys)

    def sizes(self, prefix: str) -> dict[str, int]:
        """Return the sizes of the objects under a prefix."""
        found: dict[str, int] = {}
        with self._answering(prefix):
            for key in self.list(prefix):
                with suppress(FileNotFoundError):  # deleted meanwhile
                    found[key] = (self._root / key).stat().st_size
        return found

    def delete(self, key: str) -> None:
        """Remove an object if there is one."""
        path = self._path(key)
        with self._answering(key), FileLock(self._root / ".lock"):
            path.unlink(missing_ok=True)

    def leftovers(self, older_s: float, remove: bool = False) -> dict[str, int]:
        """Return files that were never renamed, and empty folders, which end in '/'.

        A write into a folder that goes at this very moment raises ServiceError, as any write may.
        """
        before = self.now() - older_s
        found: dict[str, int] = {}
        with self._answering("leftovers"):
            for path in sorted((self._root / ".tmp").glob("*")):
                with suppress(FileNotFoundError):  # renamed meanwhile
                    if (stat := path.stat()).st_mtime <= before:
                        found[f".tmp/{path.name}"] = stat.st_size
                        if remove:
                            path.unlink()
            for folder in _empty_folders(self._root, before):
                found[f"{folder.relative_to(self._root).as_posix()}/"] = 0
                if remove:
                    with suppress(OSError):  # it is not empty any more
                        folder.rmdir()
        return found

    def now(self) -> float:
        """Return the file system's clock, which all machines that share it see.

        Who may only read here gets this machine's: it holds no lease.
        """
        clock = self._root / ".clock"
        with self._answering(".clock"):
            try:
                self._root.mkdir(parents=True, exist_ok=True)
                clock.touch()
            except OSError as error:
                if error.errno not in _READ_ONLY or os.access(self._root, os.W_OK):
                    raise
                return time.time()
            return clock.stat().st_mtime

    @contextmanager
    def _answering(self, what: str) -> Iterator[None]:
        """Turn the operating system's refusals (disk full, no permission, …) into ServiceError."""
        try:
            yield
        except OSError as error:
            reason = error.strerror or error
            raise ServiceError(f"store: {self.address}: {what}: {reason}") from error

    def _path(self, key: str) -> Path:
        """Return the file of a key."""
        return self._root / check_key(key)

    @contextmanager
    def _staged(self) -> Iterator[tuple[Path, BinaryIO]]:
        """Open a file that is not visible under any key; it is gone afterwards unless renamed."""
        stage = self._root / ".tmp" / uuid.uuid4().hex
        stage.parent.mkdir(parents=True, exist_ok=True)
        try:
            with stage.open("wb") as file:
                yield stage, file
        finally:
            stage.unlink(missing_ok=True)


def _empty_folders(root: Path, before: float) -> list[Path]:
    """Return the folders that hold no file at any depth, the deepest first."""
    empty: set[str] = set()
    found: list[Path] = []
    for folder, folders, files in os.walk(root, topdown=False):
        path = Path(folder)
        inside = [name for name in folders if str(path / name) not in empty]
        is_own = any(part.startswith(".") for part in path.relative_to(root).parts)
        if path == root or is_own or files or inside or path.stat().st_mtime > before:
            continue
        empty.add(folder)
        found.append(path)
    return found


def _version(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _copy(source: BinaryIO, target: BinaryIO) -> str:
    """Copy a stream; return the sha256 of what went through."""
    digest = hashlib.sha256()
    while chunk := source.read(_CHUNK):
        digest.update(chunk)
        target.write(chunk)
    return digest.hexdigest()


def _settle(file: BinaryIO) -> None:
    """Bring a file's bytes to the disk, so that a rename never exposes less."""
    file.flush()
    os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    """Bring a directory's entries to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unless_gone(error: OSError) -> None:
    """Let a folder that is not there be empty, and no other: `os.walk` would pass over all."""
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error
