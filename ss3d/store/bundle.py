"""A directory in the store: the files' bytes first, a manifest that names and verifies them last.

A reader trusts only what a manifest names; without a manifest there is no bundle. A thinned one
names what it holds and, apart, what was removed from it on purpose.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any, NamedTuple

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
    """Read a whole bundle into a directory and verify every file.

    Raises:
        CheckpointError: there is no bundle, it was thinned, or a file is missing or damaged.
    """
    held = _read(store, prefix)
    if held.removed:
        names = ", ".join(entry["name"] for entry in held.removed)
        raise CheckpointError(
            f"{prefix}: {names}: removed by `ss3d gc`, which kept better trials; `ss3d rerun` "
            "repeats this one from its spec"
        )
    get_files(store, prefix, held.files, directory)


def get_files(
    store: Store, prefix: str, entries: Sequence[dict[str, Any]], directory: Path
) -> None:
    """Read some of a bundle's files into a directory and verify them.

    Args:
        store: where the bundle is.
        prefix: of the bundle.
        entries: of its manifest.
        directory: to write to.

    Raises:
        CheckpointError: a file is missing or damaged.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for entry in entries:
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


def thin_bundle(store: Store, prefix: str, kept: Container[str]) -> None:
    """Let a bundle hold only some of its files from now on; the others can go then.

    Raises:
        CheckpointError: there is no bundle or its manifest is damaged.
        ConflictError: somebody else changed the manifest.
    """
    held = _read(store, prefix)
    every = held.files + held.removed
    _rewrite(store, prefix, held, [entry for entry in every if entry["name"] in kept])


def restore_bundle(store: Store, prefix: str) -> None:
    """Let a thinned bundle hold all of its files again, as long as they are there.

    Raises:
        CheckpointError: there is no bundle or its manifest is damaged.
        ConflictError: somebody else changed the manifest.
    """
    held = _read(store, prefix)
    if held.removed:
        there = store.sizes(f"{prefix}/")
        if all(f"{prefix}/{entry['name']}" in there for entry in held.removed):
            _rewrite(store, prefix, held, held.files + held.removed)


def read_manifest(store: Store, prefix: str) -> list[dict[str, Any]]:
    """Return name, size and sha256 of a bundle's files.

    Raises:
        CheckpointError: there is no bundle or its manifest is damaged.
    """
    return _read(store, prefix).files


def is_thinned(store: Store, prefix: str) -> bool:
    """Return whether files were removed from a bundle on purpose.

    Raises:
        CheckpointError: there is no bundle or its manifest is damaged.
    """
    return bool(_read(store, prefix).removed)


class _Manifest(NamedTuple):
    """What a stored manifest says."""

    files: list[dict[str, Any]]
    removed: list[dict[str, Any]]
    version: str


def _read(store: Store, prefix: str) -> _Manifest:
    blob = store.get(f"{prefix}/{MANIFEST}")
    if blob is None:
        raise CheckpointError(f"{store.address}: there is no bundle {prefix}")
    try:
        tree = json.loads(blob.data)
        parts = (_entries(tree["files"]), _entries(tree.get("removed", [])))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{prefix}/{MANIFEST} is damaged: {error}") from error
    return _Manifest(*parts, blob.version)


def _entries(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"name": str(entry["name"]), "size": int(entry["size"]), "sha256": str(entry["sha256"])}
        for entry in found
    ]


def _rewrite(store: Store, prefix: str, held: _Manifest, files: list[dict[str, Any]]) -> None:
    """Replace a manifest by one that names these files, and all others of it as removed."""
    every = sorted(held.files + held.removed, key=lambda entry: entry["name"])
    tree: dict[str, Any] = {"schema": 1, "files": [entry for entry in every if entry in files]}
    if removed := [entry for entry in every if entry not in files]:
        tree["removed"] = removed
    if tree.get("removed", []) != held.removed:
        store.put_if(f"{prefix}/{MANIFEST}", canonical_json(tree).encode(), held.version)


def bundle_bytes(store: Store, prefix: str) -> int:
    """Return the size of a bundle's files.

    Raises:
        CheckpointError: there is no bundle or its manifest is damaged.
    """
    return sum(entry["size"] for entry in read_manifest(store, prefix))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
