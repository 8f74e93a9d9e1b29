"""How measurements are told: medians with their spread, and on what machine they were taken."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from ss3d.trial.spec import machine, versions


@dataclass(frozen=True)
class Latency:
    """How long calls took, in seconds."""

    count: int
    p50_s: float
    p99_s: float


@dataclass(frozen=True)
class Spread:
    """The median of repeated measurements, with the smallest and the largest."""

    median: float
    low: float
    high: float


def latency(samples: Sequence[float]) -> Latency:
    """Return percentiles of the seconds of some calls, at least one."""
    p50, p99 = np.percentile(samples, (50, 99))
    return Latency(len(samples), float(p50), float(p99))


def spread(values: Sequence[float]) -> Spread:
    """Return the median of some values, at least one, and their ends."""
    return Spread(statistics.median(values), min(values), max(values))


def per_trial(ends: Sequence[float]) -> float:
    """Return the seconds per trial from the first end to the last, of two trials at least."""
    return (max(ends) - min(ends)) / (len(ends) - 1)


def surroundings() -> dict[str, Any]:
    """Return what figures depend on besides the code: the machine, its load, the versions."""
    libraries = {name: version(name) for name in ("ray", "optuna", "mlflow")}
    return {
        **machine(),
        "cpus": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "load_average": list(os.getloadavg()),
        "versions": versions() | libraries,
    }
