"""Who goes on: the curves of all trials that are compared, and the decisions made about them."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

from ss3d.config import canonical_json
from ss3d.study.cohort import Cohort, Curve
from ss3d.study.entries import Entry
from ss3d.study.events import Decided
from ss3d.study.frozen import curve_of, outcomes_of
from ss3d.study.rungs import Decision, Rule, by_user, explain
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
        self._cohorts: defaultdict[tuple[str, int], Cohort] = defaultdict(Cohort)
        """By stratum and bracket."""
        self._unwanted: set[str] = set()
        """Trials that end at their next report."""

    def see(self, entry: Entry) -> None:
        """Take the curve of a trial as far as it got."""
        reports = entry.reports.values()
        curve = curve_of(reports, self._metric)
        values = {epoch: self._sign * value for epoch, value in curve.items()}
        outcomes = {} if self._objectives.are_plain else outcomes_of(reports, self._objectives)
        per_model = {r.epoch: array("d", r.per_model) for r in reports if r.per_model}
        own = Curve(values, entry.state == "complete", per_model, outcomes)
        self._cohort(entry.spec).see(entry.spec.trial, own)

    def decide(self, entry: Entry, epochs: list[int]) -> Decision | None:
        """Judge a trial at the epochs it brought; after a stop, later epochs do not count."""
        decision = None
        for epoch in epochs:
            if epoch == epochs[-1] and self._is_unwanted_at(entry, epoch):
                return self._stop_by_user(entry, epoch)
            decision = self._decide_at(entry.spec, epoch)
            if decision and decision.stop:
                return self._stop(entry, epoch, decision)
        return decision

    def stop_next(self, entry: Entry) -> None:
        """Stop a trial at its next epoch; nothing happens if a stored decision will stop it."""
        if self._stop_epoch(entry) is None:
            self._unwanted.add(entry.spec.trial)

    def stop_now(self, entry: Entry) -> bool:
        """Stop a trial that does not run where it is; return whether it is stopped.

        It is not where a stored decision will stop it at an epoch that it has yet to come to again,
        and where it was decided already that it goes on: then it ends at its next epoch.
        """
        last = max(curve_of(entry.reports.values(), self._metric), default=0)
        decided_at = self._stop_epoch(entry)
        self.stop_next(entry)
        if decided_at is not None and decided_at <= last:
            self._stop(entry, decided_at, self._decided[entry.spec.trial, decided_at])
        elif self._is_unwanted_at(entry, last):
            self._stop_by_user(entry, last)
        else:
            return False
        return True

    def _is_unwanted_at(self, entry: Entry, epoch: int) -> bool:
        """Return whether the user wants a trial to end where nothing else was decided of it."""
        trial = entry.spec.trial
        return trial in self._unwanted and (trial, epoch) not in self._decided

    def _stop(self, entry: Entry, epoch: int, decision: Decision) -> Decision:
        """Note why a trial ends; its later epochs do not count."""
        entry.reason = explain(decision)
        entry.reports = {k: r for k, r in entry.reports.items() if r.epoch <= epoch}
        self.see(entry)
        return decision

    def _stop_by_user(self, entry: Entry, epoch: int) -> Decision:
        trial = entry.spec.trial
        value = curve_of(entry.reports.values(), self._metric).get(epoch, 0.0)
        decision = self._decided[trial, epoch] = by_user(trial, epoch, value)
        self._tell(Decided(trial, epoch, decision))
        return self._stop(entry, epoch, decision)

    def _stop_epoch(self, entry: Entry) -> int | None:
        """Return where a decision stops a trial, if one does."""
        trial = entry.spec.trial
        return min(
            (e for (t, e), d in self._decided.items() if t == trial and d.stop), default=None
        )

    def _decide_at(self, spec: TrialSpec, epoch: int) -> Decision | None:
        """Return the decision with the objective's own values: rules see them lower-is-better."""
        decision = self._decided.get((spec.trial, epoch))
        if decision is None:
            seen = self._rule.decide(self._cohort(spec), spec.trial, epoch)
            if seen:
                sign = self._sign if seen.front is None else 1  # places have the sign of ranks
                own = {"value": sign * seen.value, "cutoff": sign * seen.cutoff}
                decision = self._decided[spec.trial, epoch] = replace(seen, **own)
                self._tell(Decided(spec.trial, epoch, decision))
        return decision

    def _cohort(self, spec: TrialSpec) -> Cohort:
        """Return the trials that one is compared with."""
        return self._cohorts[canonical_json(spec.stratum), self._rule.bracket(spec.trial)]
