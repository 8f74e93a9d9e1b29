"""What the best of k trials is worth: its expectation, and how sure one can be of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NUM_RESAMPLES = 2000
_SEED = 0


@dataclass(frozen=True)
class BestOfK:
    """The expected best of k trials drawn from those that ended, with its 95 % interval."""

    k: int
    mean: float
    low: float
    high: float


def best_of_k(values: Sequence[float], k: int, minimize: bool = True) -> float:
    """Return the expected best of k values drawn without replacement.

    With values sorted from the best: sum of v_i C(n - i, k - 1) / C(n, k), i from 1.

    Args:
        values: n of them.
        k: from 1 to n.
        minimize: whether the smallest is the best.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    return float((ordered if minimize else ordered[::-1]) @ _weights(len(values), k))


def bests_of(values: Sequence[float], minimize: bool) -> tuple[BestOfK, ...]:
    """Return the best of 1, 2, 4, … and of all values."""
    count = len(values)
    sizes = sorted({2**power for power in range(count.bit_length())} & set(range(1, count + 1)))
    sizes += [count] if count and count not in sizes else []
    drawn = np.sort(resampled(values, "best of k"), axis=1)
    drawn = drawn if minimize else drawn[:, ::-1]
    found = []
    for k in sizes:
        low, high = np.percentile(drawn @ _weights(count, k), (2.5, 97.5))
        found.append(BestOfK(k, best_of_k(values, k, minimize), float(low), float(high)))
    return tuple(found)


def resampled(values: Sequence[float], purpose: str) -> NDArray[np.float64]:
    """Return values drawn with replacement, (NUM_RESAMPLES, n)."""
    drawn = np.random.default_rng([_SEED, *purpose.encode()])
    pool = np.asarray(values, dtype=np.float64)
    return pool[drawn.integers(0, len(pool), size=(NUM_RESAMPLES, len(pool)))]


def _weights(count: int, k: int) -> NDArray[np.float64]:
    """Return the chance of each of `count` sorted values to be the best of k."""
    weights = np.zeros(count)
    chance = k / count
    for place in range(count - k + 1):
        weights[place] = chance
        chance *= (count - place - k) / (count - place - 1) if place < count - k else 0.0
    return weights
