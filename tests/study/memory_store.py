"""A store in memory that can be copied, and killed at any deletion."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

from ss3d.errors import CheckpointError, ConflictError, ServiceError
from ss3d.store.keys import check_key, check_prefix
from ss3d.store.protocol import Blob
from ss3d.store.staging import check_sha256


class MemoryStore:
    """A store for one process, with the keys and versions of the others.

    Args:
        objects: to begin with.
        deletions: after so many its process is dead: every later call fails, but for the release of
            a lease, which a dead process gives up as well.
    """

    def __init__(self, objects: dict[str, bytes] | None = None, deletions: int = 10**9) -> None:
        self.objects = dict(objects or {})
        self._left = deletions

    @property
    def address(self) -> str:
        return "memory"

    def get(self, key: str) -> Blob | None:
        data = self._alive.get(check_key(key))
        return None if data is None else Blob(data, hashlib.sha256(data).hexdigest())

    def put_new(self, key: str, data: bytes) -> str:
        if check_key(key) in self._alive:
            raise ConflictError(f"{key} exists already")
        self._alive[key] = data
        return hashlib.sha256(data).hexdigest()

    def put_if(self, key: str, data: bytes, version: str) -> str:
        held = self.objects.get(check_key(key))
        if held is None or hashlib.sha256(held).hexdigest() != version:
            raise ConflictError(f"{key} was changed by somebody else")
        self.objects[key] = data
        return hashlib.sha256(data).hexdigest()

    def put_file(self, key: str, path: Path) -> str:
        self._alive[check_key(key)] = path.read_bytes()
        return hashlib.sha256(path.read_bytes()).hexdigest()

    def get_file(self, key: str, path: Path, sha256: str | None = None) -> None:
        blob = self.get(key)
        if blob is None:
            raise CheckpointError(f"{self.address}: there is no {key}")
        check_sha256(key, blob.version, sha256)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(blob.data)

    def list(self, prefix: str) -> Iterator[str]:
        yield from self.sizes(prefix)

    def sizes(self, prefix: str) -> dict[str, int]:
        check_prefix(prefix)
        keys = sorted(key for key in self._alive if key.startswith(prefix))
        return {key: len(self._alive[key]) for key in keys}

    def delete(self, key: str) -> None:
        self._left -= 1
        self._alive.pop(check_key(key), None)

    def leftovers(self, older_s: float, remove: bool = False) -> dict[str, int]:
        return {}

    def now(self) -> float:
        return time.time()

    @property
    def _alive(self) -> dict[str, bytes]:
        if self._left < 0:
            raise ServiceError("killed")
        return self.objects
