"""What a study searches for: objectives, the primary one first, and constraints."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ss3d.trial.dominance import Outcome
from ss3d.trial.records import EpochReport


@dataclass(frozen=True)
class Objective:
    """A metric that is to become as small or as large as it can."""

    metric: str
    minimize: bool

    @property
    def direction(self) -> Literal["minimize", "maximize"]:
        """Return the direction as Optuna calls it."""
        return "minimize" if self.minimize else "maximize"

    @property
    def sign(self) -> int:
        """Return what a value is multiplied by so that lower is better."""
        return 1 if self.minimize else -1

    def order(self, value: float) -> float:
        """Return a key that sorts better values first and NaN last."""
        return math.inf if math.isnan(value) else self.sign * value


@dataclass(frozen=True)
class Constraint:
    """A metric that a trial must keep within bounds to count."""

    metric: str
    least: float = -math.inf
    most: float = math.inf

    def as_spec(self) -> dict[str, Any]:
        """Return the metric and the bounds that there are."""
        bounds = {"least": self.least, "most": self.most}
        return {"metric": self.metric} | {n: v for n, v in bounds.items() if math.isfinite(v)}

    def excess(self, value: float) -> float:
        """Return by which share of a bound a value lies beyond it; not above 0 if it is kept."""
        if math.isnan(value):
            return math.inf
        pairs = ((value - self.most, self.most), (self.least - value, self.least))
        return max(gap / (abs(bound) or 1.0) for gap, bound in pairs if math.isfinite(bound))


@dataclass(frozen=True)
class Objectives:
    """All that decides between the trials of a study."""

    all: tuple[Objective, ...]
    constraints: tuple[Constraint, ...] = ()

    @property
    def primary(self) -> Objective:
        """Return the first: what trials are sorted by within a front."""
        return self.all[0]

    @property
    def are_several(self) -> bool:
        """Return whether there is more than one objective."""
        return len(self.all) > 1

    @property
    def are_plain(self) -> bool:
        """Return whether one number says who is better: one objective, and no constraint."""
        return not (self.are_several or self.constraints)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Return the metrics of the objectives, then of the constraints, each once."""
        return tuple(dict.fromkeys(one.metric for one in (*self.all, *self.constraints)))

    def as_spec(self) -> dict[str, Any]:
        """Return what study.json states: a single objective as a table, constraints if any."""
        tables = [{"metric": one.metric, "direction": one.direction} for one in self.all]
        stated: dict[str, Any] = {"objective": tables if self.are_several else tables[0]}
        if self.constraints:
            stated["constraints"] = [one.as_spec() for one in self.constraints]
        return stated

    def measured(self, report: EpochReport) -> dict[str, float]:
        """Return what a report says of objectives and constraints."""
        values = {metric: report.value(metric) for metric in self.metrics}
        return {metric: value for metric, value in values.items() if value is not None}

    def excesses(self, values: Mapping[str, float]) -> dict[str, float]:
        """Return the excess of each constraint by its metric; what is not known is beyond all."""
        return {
            one.metric: one.excess(values.get(one.metric, math.nan)) for one in self.constraints
        }

    def outcome(self, values: Mapping[str, float]) -> Outcome:
        """Return values as losses and violation; one that is no number violates everything."""
        losses = tuple(one.sign * values.get(one.metric, math.nan) for one in self.all)
        violation = sum(max(excess, 0.0) for excess in self.excesses(values).values())
        return Outcome(losses, violation if all(map(math.isfinite, losses)) else math.inf)

    def is_feasible(self, values: Mapping[str, float]) -> bool:
        """Return whether values keep all constraints."""
        return all(excess <= 0 for excess in self.excesses(values).values())


def objectives_of(spec: Mapping[str, Any]) -> Objectives:
    """Return the objectives that study.json states: one table, or a list of them."""
    stated = spec.get("objective", {})
    tables: Sequence[Mapping[str, Any]] = stated if isinstance(stated, list) else [stated]
    return Objectives(
        all=tuple(
            Objective(
                metric=table.get("metric", "val/cd_l1"),
                minimize=table.get("direction", "minimize") == "minimize",
            )
            for table in tables
        ),
        constraints=tuple(Constraint(**table) for table in spec.get("constraints", [])),
    )
