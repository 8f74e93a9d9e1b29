"""Bringing an object to a file in one step, and only if it is whole."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ss3d.errors import CheckpointError


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """Yield a place beside a file; what is written there replaces it unless something is raised."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stage = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        yield stage
        stage.replace(path)
    finally:
        stage.unlink(missing_ok=True)


def check_sha256(key: str, found: str, expected: str | None) -> None:
    """Refuse bytes that are not the expected ones; None expects nothing.

    Raises:
        CheckpointError: they differ.
    """
    if expected is not None and found != expected:
        raise CheckpointError(
            f"{key} is damaged: got sha256 {found[:12]}…, expected {expected[:12]}…"
        )
