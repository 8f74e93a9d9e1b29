"""What a key and a prefix may be: the same in a directory and in a bucket."""

from __future__ import annotations

import re

from ss3d.errors import ConfigError

_SEGMENT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


def is_key(key: str) -> bool:
    """Return whether a text is a key; names that start with a dot belong to the store itself."""
    return all(_SEGMENT.fullmatch(segment) for segment in key.split("/"))


def check_key(key: str) -> str:
    """Return a key.

    Raises:
        ConfigError: it is not one.
    """
    if not is_key(key):
        raise ConfigError(
            f"store: got key {key!r}, expected segments of A-Z a-z 0-9 . _ - between '/' "
            "that do not start with a dot"
        )
    return key


def check_prefix(prefix: str) -> str:
    """Return a prefix.

    Raises:
        ConfigError: it is neither empty nor a key that ends in '/'.
    """
    if prefix and not prefix.endswith("/"):
        raise ConfigError(f"store: got prefix {prefix!r}, expected one that ends in '/'")
    if prefix:
        check_key(prefix.removesuffix("/"))
    return prefix
