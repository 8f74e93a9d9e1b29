"""Who goes on: the curves of all trials by stratum, and the decisions made about them."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import replace

from ss3d.config import canonical_json
from ss3d.study.entries import Entry
from ss3d.study.events import Decided
from ss3d.study.frozen import curve_of, outcomes_of
from ss3d.study.rungs import Curve, Decision, Rule, explain
from ss3d.study.space import Space
from ss3d.trial.records import TrialSpec


class Judge:
    """Asks the rule once for each trial and epoch.

    Args:
        space: what is searched.
        rule: which trials go on.
        decided: stored decisions by trial and epoch; they hold again after a resume.
        tell: takes every new decision.
    """

    def __init__(
        self,
        space: Space,
        rule: Rule,
        decided: dict[tuple[str, int], Decision],
        tell: Callable[[Decided], None],
    ) -> None:
        self._objectives = space.objectives
        self._metric, self._sign = space.objective.metric, space.objective.sign
        self._rule = rule
        self._decided = decided
        self._tell = tell
        self._curves: dict[str, dict[str, Curve]] = {}

    def see(self, entry: Entry) -> None:
        """Take the curve of a trial as far as it got."""
        reports = entry.reports.values()
        curve = curve_of(reports, self._metric)
        values = {epoch: self._sign * value for epoch, value in curve.items()}
        outcomes = {} if self._objectives.are_plain else outcomes_of(reports, self._objectives)
        stratum = self._curves.setdefault(canonical_json(entry.spec.stratum), {})
        per_model = {r.epoch: array("d", r.per_model) for r in reports if r.per_model}
        stratum[entry.spec.trial] = Curve(values, entry.state == "complete", per_model, outcomes)

    def decide(self, entry: Entry, epochs: list[int]) -> Decision | None:
        """Judge a trial at the epochs it brought; after a stop, later epochs do not count."""
        decision = None
        for epoch in epochs:
            decision = self._decide_at(entry.spec, epoch)
            if decision and decision.stop:
                entry.reason = explain(decision)
                entry.reports = {k: r for k, r in entry.reports.items() if r.epoch <= epoch}
                self.see(entry)
                return decision
        return decision

    def _decide_at(self, spec: TrialSpec, epoch: int) -> Decision | None:
        """Return the decision with the objective's own values: rules see them lower-is-better."""
        decision = self._decided.get((spec.trial, epoch))
        if decision is None:
            curves = self._curves[canonical_json(spec.stratum)]
            seen = self._rule.decide(curves, spec.trial, epoch)
            if seen:
                sign = self._sign if seen.front is None else 1  # places have the sign of ranks
                own = {"value": sign * seen.value, "cutoff": sign * seen.cutoff}
                decision = self._decided[spec.trial, epoch] = replace(seen, **own)
                self._tell(Decided(spec.trial, epoch, decision))
        return decision
