"""A store that writes only while a lease is surely ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ss3d.errors import ServiceError
from ss3d.store.lease import Lease
from ss3d.store.protocol import Blob, Store


class FencedStore:
    """Passes all calls on; a change raises ServiceError while the lease may be somebody else's.

    So a driver that was stopped, or cut off, for longer than its lease changes nothing of a study
    that another one has taken over: whoever waits for the store waits, and learns of the loss.

    Args:
        store: where everything goes.
        lease: what must be held.
    """

    def __init__(self, store: Store, lease: Lease) -> None:
        self._store = store
        self._lease = lease

    @property
    def address(self) -> str:
        """Return the store's address."""
        return self._store.address

    def get(self, key: str) -> Blob | None:
        """Return the object's bytes and version, or None."""
        return self._store.get(key)

    def put_new(self, key: str, data: bytes) -> str:
        """Write an object that must not exist."""
        return self._writable(key).put_new(key, data)

    def put_if(self, key: str, data: bytes, version: str) -> str:
        """Replace an object that must still have this version."""
        return self._writable(key).put_if(key, data, version)

    def put_file(self, key: str, path: Path) -> str:
        """Write a file's bytes under a key."""
        return self._writable(key).put_file(key, path)

    def get_file(self, key: str, path: Path, sha256: str | None = None) -> None:
        """Write an object's bytes to a file."""
        self._store.get_file(key, path, sha256)

    def list(self, prefix: str) -> Iterator[str]:
        """Yield the keys under a prefix."""
        return self._store.list(prefix)

    def sizes(self, prefix: str) -> dict[str, int]:
        """Return the sizes of the objects under a prefix."""
        return self._store.sizes(prefix)

    def delete(self, key: str) -> None:
        """Remove an object if there is one."""
        self._writable(key).delete(key)

    def leftovers(self, older_s: float, remove: bool = False) -> dict[str, int]:
        """Return what killed writers left behind."""
        return (self._writable("leftovers") if remove else self._store).leftovers(older_s, remove)

    def now(self) -> float:
        """Return the store's clock."""
        return self._store.now()

    def _writable(self, key: str) -> Store:
        if not self._lease.is_sure:
            raise ServiceError(f"store: {key}: not written while the lease is not renewed")
        return self._store
