"""The files of `cluster/`, the schemas they must fit, and the typos that must be refused."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
Keys = tuple[str | int, ...]
# The C loader where there is one: KubeRay's definitions are megabytes.
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load(path: Path) -> Any:
    return yaml.load(path.read_text(), Loader)


def schema_file(name: str) -> Path:
    """Upstream's schemas are not ours to keep; a machine that has none skips these tests."""
    folder = Path(os.environ.get("SS3D_SCHEMAS", ROOT.parent / "shared" / "schemas"))
    if not (folder / name).exists():
        pytest.skip(f"no {name} in {folder}; SS3D_SCHEMAS names the folder that has it")
    return folder / name


def keys(tree: Any, path: Keys = ()) -> Iterator[Keys]:
    """Yield the path of every key of every mapping."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in items:
        here = (*path, key)
        if isinstance(tree, dict):
            yield here
        if isinstance(value, dict | list):
            yield from keys(value, here)


def misspelled(tree: Any, path: Keys) -> Any:
    """Return a copy whose key at a path has a letter too many."""
    changed = copy.deepcopy(tree)
    parent = changed
    for key in path[:-1]:
        parent = parent[key]
    parent[f"{path[-1]}s"] = parent.pop(path[-1])
    return changed


def texts(tree: Any) -> Iterator[str]:
    """Yield every text in a document, keys too."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield str(key)
            yield from texts(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from texts(value)
    else:
        yield str(tree)
