"""Who is better when several numbers count: NSGA-II's order of outcomes (Deb et al. 2002).

An outcome dominates another if it is nowhere worse and somewhere better. The first front is what
nothing dominates, the second what nothing but the first dominates, and so on. What violates its
constraints comes after all fronts, the smaller violation first.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_PLANE = 2
"""Losses up to which one sweep finds all fronts."""


class Outcome(NamedTuple):
    """The end of a trial, or what it has come to at an epoch."""

    losses: tuple[float, ...]
    """Of the objectives, lower is better; finite if the violation is."""
    violation: float = 0.0
    """By how much constraints are violated; 0 is feasible."""


def dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    """Return whether losses are nowhere worse than others and somewhere better."""
    pairs = list(zip(one, other, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def fronts(outcomes: Mapping[str, Outcome]) -> dict[str, int]:
    """Return the front of each outcome, from 1: its non-dominated rank."""
    violations = np.array([outcome.violation for outcome in outcomes.values()])
    losses = np.array([outcome.losses for outcome in outcomes.values()])
    feasible = violations <= 0
    found = np.zeros(len(outcomes), dtype=int)
    found[feasible] = _fronts(losses[feasible])
    _, later = np.unique(violations[~feasible], return_inverse=True)
    found[~feasible] = found.max(initial=0) + 1 + later
    return dict(zip(outcomes, found.tolist(), strict=True))


def first_front(outcomes: Mapping[str, Outcome]) -> set[str]:
    """Return the feasible outcomes that none dominates: the Pareto front."""
    feasible = {name: o.losses for name, o in outcomes.items() if o.violation <= 0}
    if not feasible:
        return set()
    distinct = np.unique(list(feasible.values()), axis=0)
    best = {tuple(distinct[n]) for n in _undominated(distinct, np.arange(len(distinct)))}
    return {name for name, losses in feasible.items() if losses in best}


def places(outcomes: Mapping[str, Outcome], found: Mapping[str, int]) -> dict[str, float]:
    """Return the place of each outcome, from 1: by front, and within it where it is least crowded.

    Equally crowded ones go by their first loss. Equal outcomes have equal places, so that nothing
    depends on the order of arrival; the place of a violation without measure is NaN.

    Args:
        outcomes: by name.
        found: their fronts.
    """
    members: dict[int, set[tuple[float, ...]]] = {}
    for name, outcome in outcomes.items():
        if outcome.violation <= 0:
            members.setdefault(found[name], set()).add(outcome.losses)
    gaps = {losses: gap for group in members.values() for losses, gap in _crowding(group).items()}
    keys = {
        name: (found[name], -gaps[outcome.losses], outcome.losses)
        if outcome.violation <= 0
        else (found[name], 0.0, ())
        for name, outcome in outcomes.items()
    }
    first: dict[object, float] = {}
    for place, key in enumerate(sorted(keys.values()), start=1):
        first.setdefault(key, float(place))
    return {
        name: math.nan if math.isinf(outcomes[name].violation) else first[key]
        for name, key in keys.items()
    }


def _fronts(losses: NDArray[np.float64]) -> NDArray[np.int_]:
    """Return the fronts of (n, M) losses, none of which violates anything."""
    if len(losses) == 0:
        return np.zeros(0, dtype=int)
    distinct, place = np.unique(losses, axis=0, return_inverse=True)
    found = _sweep(distinct) if distinct.shape[1] <= _PLANE else _peel(distinct)
    return found[place.reshape(-1)]


def _sweep(distinct: NDArray[np.float64]) -> NDArray[np.int_]:
    """Return the fronts of distinct rows of one or two losses, in lexicographic order.

    A row belongs to the first front whose latest row has the larger last loss: in two dimensions
    no earlier row of that front dominates it then. Takes n log n steps.
    """
    latest: list[float] = []
    found = []
    for loss in distinct[:, 1:].sum(axis=1).tolist():
        front = bisect.bisect_right(latest, loss)
        latest[front : front + 1] = [loss]
        found.append(front + 1)
    return np.array(found, dtype=int)


def _peel(distinct: NDArray[np.float64]) -> NDArray[np.int_]:
    """Return the fronts of distinct rows, in lexicographic order, by taking off one by one."""
    found = np.zeros(len(distinct), dtype=int)
    rest = np.arange(len(distinct))
    front = 0
    while len(rest):
        front += 1
        found[_undominated(distinct, rest)] = front
        rest = rest[found[rest] == 0]
    return found


def _undominated(distinct: NDArray[np.float64], rest: NDArray[np.int_]) -> list[int]:
    """Return which of the rest none of the rest dominates.

    Rows are distinct and in lexicographic order: nothing is dominated by what comes after it.
    """
    found = []
    while len(rest):
        first = int(rest[0])
        found.append(first)
        rest = rest[(distinct[rest] < distinct[first]).any(axis=1)]
    return found


def _crowding(losses: set[tuple[float, ...]]) -> dict[tuple[float, ...], float]:
    """Return the crowding distance of each of the losses of a front; infinite at its ends."""
    points = sorted(losses)
    gaps = np.zeros(len(points))
    for column in np.array(points).T:
        order = np.argsort(column, kind="stable")
        width = column[order[-1]] - column[order[0]]
        if width > 0:
            gaps[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / width
        gaps[order[[0, -1]]] = np.inf
    return dict(zip(points, gaps.tolist(), strict=True))
