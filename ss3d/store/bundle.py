"""A directory in the store: the files' bytes first, a manifest that names and verifies them last.

A reader trusts only what a manifest names; without a manifest there is no bundle.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from ss3d.config import canonical_json
from ss3d.errors import CheckpointError, ConfigError, ConflictError
from ss3d.store import layout
from ss3d.store.protocol import Store

MANIFEST = "manifest.json"


def put_bundle(store: Store, prefix: str, directory: Path) -> None:
    """Write all files under a directory as one bundle; writing the same again changes nothing.

    Raises:
        ConflictError: there is another bundle under this prefix.
    """
    files = []
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        name = path.relative_to(directory).as_posix()
        if name == MANIFEST:
            raise ConfigError(f"bundle: {path}: the name {MANIFEST} is taken by the bundle's own")
        if bundle_exists(store, prefix):
            sha256 = _sha256(path)
        else:
            sha256 = store.put_file(f"{prefix}/{name}", path)
        files.append({"name": name, "size": path.stat().st_size, "sha256": sha256})
    manifest = canonical_json({"schema": 1, "files": files}).encode()
    try:
        store.put_new(f"{prefix}/{MANIFEST}", manifest)
    except ConflictError:
        blob = store.get(f"{prefix}/{MANIFEST}")
        if blob is None or blob.data != manifest:
            raise


def get_bundle(store: Store, prefix: str, directory: Path) -> None:
    """Read a bundle into a directory and verify every file.

    Raises:
        CheckpointError: there is no bundle, or a file is missing or damaged.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for entry in read_manifest(store, prefix):
        path = directory / entry["name"]
        try:
            store.get_file(f"{prefix}/{entry['name']}", path, entry["sha256"])
        except ConfigError as error:
            raise CheckpointError(f"{prefix}/{MANIFEST} is damaged: {error}") from error


def bundle_exists(store: Store, prefix: str) -> bool:
    """Return whether a bundle was written completely."""
    return store.get(f"{prefix}/{MANIFEST}") is not None


def checkpoints(store: Store, folder: str) -> list[str]:
    """Return the complete checkpoint bundles under a folder, oldest first."""
    found = [
        key.removesuffix(f"/{MANIFEST}")
        for key in store.list(f"{folder}/")
        if key.endswith(f"/{MANIFEST}")
    ]
    return sorted(found, key=layout.attempt_and_epoch)


def delete_bundle(store: Store, prefix: str) -> None:
    """Remove a bundle, its manifest first, so that no reader trusts what is half gone."""
    store.delete(f"{prefix}/{MANIFEST}")
    for key in list(store.list(f"{prefix}/")):
        store.delete(key)


def read_manifest(store: Store, prefix: str) -> list[dict[str, Any]]:
    """Return name, size and sha256 of a bundle's files.

    Raises:
        CheckpointError: there is no bundle or its manifest is damaged.
    """
    blob = store.get(f"{prefix}/{MANIFEST}")
    if blob is None:
        raise CheckpointError(f"{store.address}: there is no bundle {prefix}")
    try:
        return [
            {"name": str(f["name"]), "size": int(f["size"]), "sha256": str(f["sha256"])}
            for f in json.loads(blob.data)["files"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{prefix}/{MANIFEST} is damaged: {error}") from error


def bundle_bytes(store: Store, prefix: str) -> int:
    """Return the size of a bundle's files.

    Raises:
        CheckpointError: there is no bundle or its manifest is damaged.
    """
    return sum(entry["size"] for entry in read_manifest(store, prefix))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
