"""From an address to a store."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from ss3d.errors import ConfigError
from ss3d.store.directory import DirectoryStore
from ss3d.store.protocol import Store


def open_store(address: str | Path) -> Store:
    """Open the store at an address: a directory, as a path or `file://` URL.

    Raises:
        ConfigError: the address has another scheme.
        ServiceError: the directory cannot be made.
    """
    if isinstance(address, Path):
        return DirectoryStore(address)
    parts = urlsplit(address)
    match parts.scheme:
        case "":
            return DirectoryStore(Path(address))
        case "file":
            return DirectoryStore(Path(unquote(parts.path)))
        case _:
            raise ConfigError(
                f"store: got address {address!r}, expected a directory or a file:// URL"
            )
