"""From an address to a store."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from ss3d.errors import ConfigError
from ss3d.store.directory import DirectoryStore
from ss3d.store.protocol import Store

_EXPECTED = "a directory, a file:// URL or s3://BUCKET/PREFIX"


def open_store(address: str | Path) -> Store:
    """Open the store at an address: a directory, as a path or `file://` URL, or `s3://BUCKET/…`.

    Raises:
        ConfigError: the address has another scheme, or is not one of a bucket.
        ServiceError: the directory cannot be made.
    """
    if isinstance(address, Path):
        return DirectoryStore(address)
    try:
        parts = urlsplit(address)
    except ValueError as error:
        raise ConfigError(f"store: the address is not valid, expected {_EXPECTED}") from error
    match parts.scheme:
        case "":
            return DirectoryStore(Path(address))
        case "file":
            return DirectoryStore(Path(unquote(parts.path)))
        case "s3":
            from ss3d.store.s3 import S3Store

            return S3Store.at(address)
        case _:
            raise ConfigError(
                f"store: got an address that starts with {parts.scheme}:, expected {_EXPECTED}"
            )
