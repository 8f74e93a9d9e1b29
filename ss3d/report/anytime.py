"""Two searches side by side: best value so far against training seconds, and best of k trials.

Every study counts each pretrained state that its trials started from once, whoever made it: so a
search is not better for having been the second one in the store. Controls are no part of a search.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ss3d.errors import RefusedError
from ss3d.report.best_of import BestOfK, bests_of, resampled
from ss3d.report.comparable import keep_stratum, same_objective
from ss3d.report.cost import seconds_of_trial
from ss3d.report.leaderboard import objective_values
from ss3d.report.paired_gain import Verdict
from ss3d.trial.objectives import Objective, Objectives, objectives_of
from ss3d.trial.records import StudyRecord, TrialRecord

_FEWEST = 5
"""Trials within the budget that each study needs for a verdict."""


@dataclass(frozen=True)
class Point:
    """The end of a trial."""

    trial: str
    spent_s: float
    """By this and all earlier ends, pretraining included."""
    value: float | None
    """Of this trial, pruned ones too; None if it failed."""
    best: float | None
    """Of the complete trials so far; None while there is none."""


@dataclass(frozen=True)
class Search:
    """What one study found, and when."""

    study: str
    points: tuple[Point, ...]
    best_of: tuple[BestOfK, ...]

    @property
    def spent_s(self) -> float:
        """Return the seconds of all trials that ended."""
        return self.points[-1].spent_s if self.points else 0.0

    def within(self, budget_s: float) -> list[Point]:
        """Return the trials that ended within a budget."""
        return [point for point in self.points if point.spent_s <= budget_s]


@dataclass(frozen=True)
class SameBudget:
    """Which search is ahead at the smaller of both budgets."""

    budget_s: float
    best: tuple[float | None, float | None]
    num_trials: tuple[int, int]
    """That ended within the budget."""
    difference: float | None
    """Best of the second minus best of the first; None if one has none."""
    low: float | None
    high: float | None
    """95 % interval of the difference when trials are drawn again; None of too few of them."""
    verdict: Verdict | None
    """On the second against the first; None without an interval. Other seeds may say otherwise:
    each study is one draw of them."""


@dataclass(frozen=True)
class Comparison:
    """Two searches for the same thing."""

    objective: Objective
    searches: tuple[Search, Search]
    same_budget: SameBudget


def compare(first: StudyRecord, second: StudyRecord, where: Mapping[str, Any]) -> Comparison:
    """Compare two studies within one stratum.

    Args:
        first: what the verdict is relative to.
        second: the other one.
        where: parameter values that name the stratum.

    Raises:
        ConfigError: no study has such a parameter.
        RefusedError: objective or data differ, a study has no complete trial there, or trials of
            several strata are left.
    """
    objective = same_objective(first, second)
    kept = keep_stratum((first, second), where)
    left, right = (follow(s, t, objective) for s, t in zip((first, second), kept, strict=True))
    return Comparison(objective, (left, right), _same_budget(left, right, objective))


def follow(study: StudyRecord, trials: Sequence[TrialRecord], objective: Objective) -> Search:
    """Return what trials of a study found, and when; each pretrained state counts once.

    Raises:
        RefusedError: none of them is complete.
    """
    ended = [(t.result.finished_at, t.spec.trial, t) for t in trials if t.result is not None]
    pretrains = {s.key: s.seconds for s in study.shared if s.kind == "pretrain"}
    objectives = replace(objectives_of(study.spec), all=(objective,))
    points: list[Point] = []
    spent_s, best = 0.0, None
    for _, name, trial in sorted(ended, key=lambda item: item[:2]):
        spent_s += seconds_of_trial(trial)
        if trial.reports:
            spent_s += pretrains.pop(trial.spec.pretrain_key, 0.0)
        value = _value(trial, objectives)
        if trial.state == "complete" and value is not None:
            best = value if best is None else min(best, value, key=objective.order)
        points.append(Point(name, spent_s, value, best))
    if best is None:
        raise RefusedError(f"study {study.name} has no complete trial there; nothing to compare")
    values = [point.value for point in points if point.value is not None]
    return Search(study.name, tuple(points), bests_of(values, objective.minimize))


def _value(trial: TrialRecord, objectives: Objectives) -> float | None:
    """Return the primary objective at a trial's end; None if it failed or does not count."""
    values = objective_values(trial, objectives)
    is_usable = trial.state != "failed" and objectives.outcome(values).violation <= 0
    return values[objectives.primary.metric] if is_usable else None


def _same_budget(first: Search, second: Search, objective: Objective) -> SameBudget:
    budget_s = min(first.spent_s, second.spent_s)
    inside = [search.within(budget_s) for search in (first, second)]
    bests = [points[-1].best if points else None for points in inside]
    difference = low = high = verdict = None
    if bests[0] is not None and bests[1] is not None:
        difference = bests[1] - bests[0]
        values = [[p.value for p in points if p.value is not None] for points in inside]
        if min(map(len, values)) >= _FEWEST:
            low, high = _interval(values, objective.minimize)
            verdict = _verdict(low, high, objective.minimize)
    return SameBudget(
        budget_s=budget_s,
        best=(bests[0], bests[1]),
        num_trials=(len(inside[0]), len(inside[1])),
        difference=difference,
        low=low,
        high=high,
        verdict=verdict,
    )


def _interval(values: Sequence[Sequence[float]], minimize: bool) -> tuple[float, float]:
    """Return the 95 % interval of the best of the second minus the best of the first."""
    drawn = [resampled(of, f"budget {place}") for place, of in enumerate(values)]
    first, second = (d.min(axis=1) if minimize else d.max(axis=1) for d in drawn)
    low, high = np.percentile(second - first, (2.5, 97.5))
    return float(low), float(high)


def _verdict(low: float, high: float, minimize: bool) -> Verdict:
    if low <= 0 <= high:
        return "not distinguishable"
    return "better" if (high < 0) == minimize else "worse"
