"""Whether one network is better than another, told model by model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Verdict = Literal["better", "worse", "not distinguishable"]

NUM_RESAMPLES = 10_000
_TAILS = (2.5, 97.5)
"""Percent: of a 95 % interval."""
_AT_ONCE = 2_000_000
"""Draws held in memory at a time."""


@dataclass(frozen=True)
class PairedGain:
    """How much smaller the trial's `cd_l1` is than its baseline's."""

    mean: float
    """Unit of `cd_l1`; positive: the trial is better."""
    low: float
    high: float
    """Ends of the 95 % interval; infinite with a single model."""
    verdict: Verdict
    num_models: int
    num_replicates: int


def paired_gain(differences: NDArray[np.floating], seed: int = 0) -> PairedGain:
    """Return the mean difference with a bootstrap interval and a verdict.

    Each of 10,000 resamples draws models with replacement. Seeds are too few to be resampled (of
    three replicates a bootstrap interval would hold the true mean 81 times in 100), so what they
    add is drawn from the law of a mean of R normals of unknown variance: Student's t with R - 1
    degrees of freedom, times the standard error of the replicates' means.

    With R = 1 the interval covers the choice of validation models alone: not the seeds, so another
    split, initialization or order of batches may well give a mean outside.

    Neither the order of models and replicates nor the sign of all differences changes more than
    the sign of the result.

    Args:
        differences: (R, V) baseline minus trial of each replicate and validation model, finite.
        seed: of the resamples.

    Raises:
        ValueError: there is no difference, or one is not finite.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 2 or values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"differences: expected finite (R, V), got shape {values.shape}")
    num_replicates, num_models = values.shape
    mean = math.fsum(values.ravel()) / values.size
    sign = -1.0 if mean < 0 else 1.0
    low, high = -math.inf, math.inf
    if num_models > 1:
        rng = np.random.default_rng(seed)
        ordered = _in_order(sign * values)
        means = _resampled_means(ordered.mean(0), rng) + _seed_errors(ordered.mean(1), rng)
        low, high = sorted(sign * float(end) for end in np.percentile(means, _TAILS))
    return PairedGain(mean, low, high, _verdict(low, high), num_models, num_replicates)


def _verdict(low: float, high: float) -> Verdict:
    if low > 0:
        return "better"
    return "worse" if high < 0 else "not distinguishable"


def _in_order(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return rows and columns in an order that depends on their values alone."""
    rows = values[np.lexsort(np.sort(values, axis=1).T[::-1])]
    return rows[:, np.lexsort(rows[::-1])]


def _resampled_means(values: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the mean of each resample of (V,) values."""
    chunk = max(1, _AT_ONCE // len(values))
    sizes = [min(chunk, NUM_RESAMPLES - start) for start in range(0, NUM_RESAMPLES, chunk)]
    return np.concatenate(
        [values[rng.integers(len(values), size=(size, len(values)))].mean(1) for size in sizes]
    )


def _seed_errors(means: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return how far the mean of (R,) replicates may be from that of endlessly many; 0 for one."""
    count = len(means)
    if count == 1:
        return np.zeros(NUM_RESAMPLES)
    error = means.std(ddof=1) / math.sqrt(count)
    return error * rng.standard_t(count - 1, size=NUM_RESAMPLES)
