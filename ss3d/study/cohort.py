"""Trials that are compared with each other."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ss3d.trial.dominance import Outcome


@dataclass(frozen=True)
class Curve:
    """The primary objective of one trial, lower is better, by epoch."""

    values: Mapping[int, float]
    is_complete: bool = False
    per_model: Mapping[int, Sequence[float]] = field(default_factory=dict)
    """Values of single validation models, by the epochs of which they are known."""
    outcomes: Mapping[int, Outcome] = field(default_factory=dict)
    """By epoch too, where one number does not say it all: several objectives, or constraints."""


class Cohort(Mapping[str, Curve]):
    """Curves by trial, with the values of every epoch kept in order.

    So the place of a trial among thousands is found without looking at them all.

    Args:
        curves: of the first trials.
    """

    def __init__(self, curves: Mapping[str, Curve] | None = None) -> None:
        self._curves: dict[str, Curve] = {}
        self._ordered: dict[int, list[float]] = {}
        for trial, curve in (curves or {}).items():
            self.see(trial, curve)

    def __getitem__(self, trial: str) -> Curve:
        return self._curves[trial]

    def __iter__(self) -> Iterator[str]:
        return iter(self._curves)

    def __len__(self) -> int:
        return len(self._curves)

    def see(self, trial: str, curve: Curve) -> None:
        """Take the curve of a trial as far as it got, instead of what was known of it."""
        known = _places(self._curves[trial]) if trial in self._curves else set()
        seen = _places(curve)
        for epoch, value in known - seen:
            ordered = self._ordered[epoch]
            del ordered[bisect.bisect_left(ordered, value)]
        for epoch, value in seen - known:
            bisect.insort(self._ordered.setdefault(epoch, []), value)
        self._curves[trial] = curve

    def ordered(self, epoch: int) -> Sequence[float]:
        """Return the values of an epoch, the best first; infinity for what is no number."""
        return self._ordered.get(epoch, ())


def _places(curve: Curve) -> set[tuple[int, float]]:
    return {(epoch, place(value)) for epoch, value in curve.values.items()}


def place(value: float) -> float:
    """Return what a value is sorted by: what is no number is worse than all others."""
    return math.inf if math.isnan(value) else value
