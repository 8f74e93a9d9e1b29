"""What a budget still allows: one function of plain numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ss3d.study.tables import Budget

_MANY = 10


@dataclass(frozen=True)
class Spent:
    """What a study used, and how far it got."""

    hours: float
    """Wall clock of all its sessions."""
    device_hours: float
    """Of all that was trained, and of what running jobs are expected to need still."""
    best: float | None
    """Best value of the primary objective of a complete, feasible trial."""
    best_trial: str
    """The trial that has it."""
    flat_for: int
    """Trials that finished without a new one on the front, in the stratum with the fewest.

    With a single objective that is: without a better best.
    """


@dataclass(frozen=True)
class Need:
    """What a job is expected to need; zero as long as nothing like it was trained."""

    hours: float
    device_hours: float


def why_not(
    budget: Budget, direction: Literal["minimize", "maximize"], spent: Spent, need: Need
) -> str:
    """Return why a job may not be started; empty if it may."""
    return why_enough(budget, direction, spent) or why_too_much(budget, spent, need)


def why_enough(budget: Budget, direction: Literal["minimize", "maximize"], spent: Spent) -> str:
    """Return which goal the study reached; empty if none."""
    sign = 1 if direction == "minimize" else -1
    target, best = budget.target, spent.best
    if target is not None and best is not None and sign * best <= sign * target:
        return f"target {target:g} reached by {spent.best_trial}"
    if budget.plateau is not None and spent.flat_for >= budget.plateau:
        return f"no better best in the last {spent.flat_for} trials"
    return ""


def why_too_much(budget: Budget, spent: Spent, need: Need) -> str:
    """Return what does not suffice for a job; empty if everything does."""
    for name, limit, used, needed in (
        ("hours", budget.hours, spent.hours, need.hours),
        ("device hours", budget.device_hours, spent.device_hours, need.device_hours),
    ):
        if limit is not None and (used >= limit or used + needed > limit):
            needs = f", a trial needs {_round(needed)}" if needed else ""
            return f"{_rest(limit, used)} of {limit:g} {name} left{needs}"
    return ""


def what_is_left(budget: Budget, spent: Spent) -> str:
    """Return the hours that are left; empty if they are not limited."""
    limits = (
        ("hours", budget.hours, spent.hours),
        ("device hours", budget.device_hours, spent.device_hours),
    )
    return ", ".join(
        f"{_rest(limit, used)} of {limit:g} {name} left"
        for name, limit, used in limits
        if limit is not None
    )


def _rest(limit: float, used: float) -> str:
    return _round(max(limit - used, 0))


def _round(hours: float) -> str:
    return f"{hours:.0f}" if hours >= _MANY else f"{hours:.2g}"
