"""The store: bytes under keys, with compare-and-swap. The only truth about studies and trials."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol


class Blob(NamedTuple):
    """What `get` returns."""

    data: bytes
    version: str


class Store(Protocol):
    """Objects under `/`-separated keys. Every implementation passes tests/contracts/test_store.py.

    Keys are made of `[A-Za-z0-9._-]` segments; anything else is a ConfigError. All methods raise
    ServiceError when the store does not answer or the disk is full.
    """

    @property
    def address(self) -> str:
        """Return the address that `open_store` takes, without secrets."""

    def get(self, key: str) -> Blob | None:
        """Return the object's bytes and version, or None if there is none."""

    def put_new(self, key: str, data: bytes) -> str:
        """Write an object that must not exist; return its version.

        Raises:
            ConflictError: the key exists.
        """

    def put_if(self, key: str, data: bytes, version: str) -> str:
        """Replace an object that must still have this version; return the new version.

        Raises:
            ConflictError: it has another version, or is gone.
        """

    def put_file(self, key: str, path: Path) -> str:
        """Write a file's bytes under a key, replacing what is there; return its sha256."""

    def get_file(self, key: str, path: Path, sha256: str | None = None) -> None:
        """Write an object's bytes to a file, in one step.

        Raises:
            CheckpointError: there is no such object, or its sha256 is not the one given.
        """

    def list(self, prefix: str) -> Iterator[str]:
        """Yield the keys under a prefix in order. Prefixes end in `/` or are empty."""

    def sizes(self, prefix: str) -> dict[str, int]:
        """Return the size in bytes of every object under a prefix, in the order of `list`."""

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens if there is none."""

    def leftovers(self, older_s: float, remove: bool = False) -> dict[str, int]:
        """Return what killed writers left behind under no key, and its size in bytes.

        Args:
            older_s: what is younger, in seconds, may be a writer's that lives.
            remove: it as well; only bytes that no key names are ever removed.
        """

    def now(self) -> float:
        """Return the store's clock in seconds, which leases use."""
