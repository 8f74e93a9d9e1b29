"""Backbone weights in the store, addressed by their sha256."""

from __future__ import annotations

from pathlib import Path

from ss3d.errors import CheckpointError, ConflictError
from ss3d.store import layout
from ss3d.store.protocol import Store
from ss3d.trial.spec import file_sha256


def add_weights(store: Store, path: Path) -> str:
    """Put a safetensors file into the store and return its sha256."""
    sha = file_sha256(path)
    key = layout.weights(sha)
    try:
        store.put_new(key, path.read_bytes())
    except ConflictError:
        return sha  # the same bytes are there
    return sha


def cached_weights(store: Store, sha256: str, cache_dir: Path) -> Path:
    """Return a local file with these weights, fetched and verified once.

    Raises:
        CheckpointError: the store does not hold them, or they are damaged.
    """
    path = _place(cache_dir, sha256)
    if path.exists() and file_sha256(path) == sha256:
        return path
    if store.get(layout.weights(sha256)) is None:
        raise CheckpointError(
            f"model.weights: {sha256} is not in {store.address}; "
            "add the file by `ss3d weights add resnet50 FILE`"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    store.get_file(layout.weights(sha256), path, sha256)
    return path


def unread_bytes(store: Store, sha256: str, cache_dir: Path) -> int:
    """Return how much `cached_weights` fetches."""
    if _place(cache_dir, sha256).exists():
        return 0
    return store.sizes("weights/").get(layout.weights(sha256), 0)


def _place(cache_dir: Path, sha256: str) -> Path:
    return cache_dir / "weights" / f"{sha256}.safetensors"
