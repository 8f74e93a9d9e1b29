"""Numbers that are a function of a key: what makes every random choice replayable."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from ss3d.config import canonical_json


def keyed_seed(seed: int, *key: int | str) -> int:
    """Return the 63-bit seed that belongs to a seed and a key: sha256 of their canonical JSON."""
    digest = hashlib.sha256(canonical_json([seed, *key]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def keyed_rng(seed: int, *key: int | str) -> np.random.Generator:
    """Return a fresh numpy generator that depends on nothing but the seed and the key."""
    return np.random.Generator(np.random.PCG64(keyed_seed(seed, *key)))


def keyed_order(name: str, count: int) -> NDArray[np.int64]:
    """Return a permutation of `range(count)` that depends on the name only.

    It sorts raw words of PCG64, whose stream numpy guarantees for ever.
    """
    words = np.random.PCG64(keyed_seed(0, "order", name)).random_raw(count)
    return np.argsort(words, kind="stable")
