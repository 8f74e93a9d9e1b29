"""How likely each of several arms is the best, from values of seeds and validation models."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NUM_DRAWS = 10_000
_AT_ONCE = 2_000_000
"""Weights of models held in memory at a time."""
_TIE = 1e-9
"""Relative difference below which two arms are equally good."""


@dataclass(frozen=True)
class Standing:
    """One arm among others."""

    mean: float
    """Over all seeds; where it lacks some, as if those had done to it what they did to others."""
    probability: float | None
    """Of being the best; None where the values do not tell the arms from the seeds."""


def stand(
    arms: NDArray[np.integer], seeds: NDArray[np.integer], values: NDArray[np.floating]
) -> list[Standing]:
    """Return where each arm stands; lower values are better.

    The model is that of a randomised block design: value = arm + seed + rest. What a seed does to
    all arms alike cancels; the rest is taken as normal with one variance for all arms. With a flat
    prior the arms' means are then a multivariate t around their least-squares estimates, with as
    many degrees of freedom as cells are left, (K - 1)(R - 1) if none is missing. For two arms the
    probability is the one-sided level of the paired t test. Seeds are not resampled: of three, a
    bootstrap would see 81 % of what it should (`paired_gain`). A variance for each arm would leave
    R - 1 degrees of freedom, and the dependence of the arms by their common seeds unknown.

    Validation models are resampled, the same for all arms, and added: other models of the same kind
    may well prefer another arm. Equally good arms share what they win.

    Args:
        arms: (C,) number of the arm of each cell, from 0 without gaps.
        seeds: (C,) number of its seed, from 0 without gaps.
        values: (C, V) of each validation model, finite; one column resamples no models.
    """
    design = _design(arms, seeds)
    inverse = np.linalg.pinv(design)  # (K + R - 1, C)
    num_arms = int(arms.max()) + 1
    effects = inverse[:num_arms] @ values  # (K, V)
    averages = values.mean(axis=1)
    rest = averages - design @ (inverse @ averages)
    free = len(averages) - design.shape[1]
    probabilities: list[float | None] = [None] * num_arms
    if num_arms == 1:
        probabilities = [1.0]
    elif free > 0 and np.linalg.matrix_rank(design) == design.shape[1]:
        rng = np.random.default_rng(0)
        scale = np.sqrt(rest @ rest / rng.chisquare(free, size=(NUM_DRAWS, 1)))
        errors = rng.standard_normal((NUM_DRAWS, len(averages))) @ inverse[:num_arms].T
        draws = _resampled(effects, rng) + scale * errors  # (draws, K)
        probabilities = list(_shares(draws, _TIE * float(np.abs(values).max())))
    return [Standing(float(m), p) for m, p in zip(effects.mean(axis=1), probabilities, strict=True)]


def _design(arms: NDArray[np.integer], seeds: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return (C, K + R - 1): which arm a cell has, and which seed; seeds sum to zero."""
    num_seeds = int(seeds.max()) + 1
    contrasts = np.vstack([np.eye(num_seeds - 1), -np.ones(num_seeds - 1)])
    return np.hstack([np.eye(int(arms.max()) + 1)[arms], contrasts[seeds]])


def _resampled(effects: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return (draws, K) the arms' means over resampled models, the same models for all arms."""
    count = effects.shape[1]
    chunk = max(1, _AT_ONCE // count)
    sizes = [min(chunk, NUM_DRAWS - start) for start in range(0, NUM_DRAWS, chunk)]
    even = np.full(count, 1 / count)
    return (
        np.concatenate([rng.multinomial(count, even, size) @ effects.T for size in sizes]) / count
    )


def _shares(draws: NDArray[np.float64], tie: float) -> list[float]:
    """Return how often each arm is the best; those within `tie` of it share the draw."""
    is_best = draws <= draws.min(axis=1, keepdims=True) + tie
    return [float(share) for share in (is_best / is_best.sum(axis=1, keepdims=True)).mean(axis=0)]
