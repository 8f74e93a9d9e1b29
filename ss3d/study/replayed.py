"""What a study brought, as it ran or simulated, in the same numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ss3d.config import canonical_json
from ss3d.errors import RefusedError
from ss3d.store import layout
from ss3d.store.protocol import Store
from ss3d.study.entries import seconds_of
from ss3d.study.job import JobKind
from ss3d.study.room import slots_of
from ss3d.study.simulation import Outcome, TrialEnd
from ss3d.study.space import Space
from ss3d.trial.history import read_object
from ss3d.trial.objectives import Objective
from ss3d.trial.records import StudyRecord, TrialRecord, TrialResult

Values = Mapping[str, float]
"""A value of the objective by the JSON of a stratum."""


@dataclass(frozen=True)
class Best:
    """The best complete trial of a stratum."""

    stratum: dict[str, Any]
    trial: str
    """Its name in the recorded study."""
    value: float
    target_s: float | None
    """When a complete trial was as good as the target; None if none was."""


@dataclass(frozen=True)
class Summary:
    """A study in numbers."""

    name: str
    slots: int
    counts: dict[str, int]
    """Trials by state: complete, pruned, failed or censored."""
    num_same: int
    """Trials that end in the state and with the epochs of the recorded ones."""
    best: tuple[Best, ...]
    """Of each stratum that has a complete trial."""
    target_s: float | None
    """When all strata had reached their targets; None if one never did."""
    seconds: dict[JobKind, float]
    """Of training, by kind of job."""
    makespan_s: float
    """From the first proposal to the end of the last job."""
    refused: str
    """Why the budget did not let everything start; empty if it did."""
    pretrain_slots: float = 1.0
    """That a pretraining takes."""

    @property
    def trained_s(self) -> float:
        """Return all seconds of training."""
        return math.fsum(self.seconds.values())

    @property
    def utilization(self) -> float:
        """Return the share of the slots' time that was training; NaN of nothing."""
        room = self.slots * self.makespan_s
        more = min(self.pretrain_slots, self.slots) - 1
        return (self.trained_s + more * self.seconds["pretrain"]) / room if room else math.nan


def finished_part(study: StudyRecord) -> StudyRecord:
    """Return a study with the trials that have a result.

    Raises:
        RefusedError: none has.
    """
    trials = tuple(trial for trial in study.trials if trial.result is not None)
    if not any(trial.reports for trial in trials):
        raise RefusedError(f"study {study.name} has no finished trial; there is nothing to replay")
    return study.model_copy(update={"trials": trials})


def as_it_ran(study: StudyRecord, store: Store) -> Outcome:
    """Return what came of a study when it ran.

    Its makespan is wall clock, with all overheads and the pauses between sessions. As many slots
    as trials ran at once were there; the attempts say when each began.

    Args:
        study: each of its trials has a result.
        store: where it is.

    Raises:
        CheckpointError: the record of an attempt is damaged.
    """
    results = [(trial, trial.result) for trial in study.trials if trial.result]
    began = min(trial.spec.proposed_at for trial, _ in results)
    ends = [
        TrialEnd(trial.spec, trial.spec.trial, result, result.finished_at - began, False)
        for trial, result in sorted(results, key=lambda pair: pair[1].finished_at)
    ]
    seconds: dict[JobKind, float] = {
        "trial": math.fsum(seconds_of(trial.reports) for trial in study.trials),
        **{
            kind: math.fsum(of.seconds for of in study.shared if of.kind == kind)
            for kind in layout.SHARED_KINDS
        },
    }
    slots = _most_at_once(store, study.trials)
    return Outcome(
        slots=slots,
        ends=tuple(ends),
        decisions={},
        seconds=seconds,
        makespan_s=ends[-1].at_s,
        most_at_once=slots,
        refused="",
    )


def bests_of(outcome: Outcome, objective: Objective) -> dict[str, TrialEnd]:
    """Return the best complete trial of each stratum that has one, by the stratum's JSON."""
    sign = objective.sign
    found: dict[str, TrialEnd] = {}
    for end in outcome.ends:
        stratum = canonical_json(end.spec.stratum)
        value = _value(end.result, objective)
        if value is not None:
            best = found.get(stratum)
            if best is None or sign * value < sign * best.result.values[objective.metric]:
                found[stratum] = end
    return found


def summarize(
    name: str, outcome: Outcome, study: StudyRecord, space: Space, targets: Values
) -> Summary:
    """Return an outcome in numbers.

    Args:
        name: of the variant.
        outcome: as it ran, or simulated.
        study: whose curves they are.
        space: of the study.
        targets: what is wanted in each stratum.
    """
    objective = space.objective
    times = {
        stratum: _reached_s(outcome, stratum, target, objective)
        for stratum, target in targets.items()
    }
    best = [
        Best(
            stratum=dict(end.spec.stratum),
            trial=end.source,
            value=end.result.values[objective.metric],
            target_s=times.get(stratum),
        )
        for stratum, end in sorted(bests_of(outcome, objective).items())
    ]
    reached = [time for time in times.values() if time is not None]
    facts = {trial.spec.trial: trial.result and _facts(trial.result) for trial in study.trials}
    states = ["censored" if end.is_censored else end.result.state for end in outcome.ends]
    return Summary(
        name=name,
        slots=outcome.slots,
        counts=dict(Counter(states)),
        num_same=sum(
            not end.is_censored and facts[end.source] == _facts(end.result) for end in outcome.ends
        ),
        best=tuple(best),
        target_s=max(reached, default=None) if len(reached) == len(times) else None,
        seconds=outcome.seconds,
        makespan_s=outcome.makespan_s,
        refused=outcome.refused,
        pretrain_slots=slots_of("pretrain", space.resources),
    )


def _value(result: TrialResult, objective: Objective) -> float | None:
    """Return the objective of a complete trial that is a number."""
    value = result.values.get(objective.metric, math.nan)
    return None if result.state != "complete" or math.isnan(value) else value


def _facts(result: TrialResult) -> tuple[str, int]:
    return result.state, len(result.reports)


def _reached_s(outcome: Outcome, stratum: str, target: float, objective: Objective) -> float | None:
    sign = objective.sign
    for end in outcome.ends:
        value = _value(end.result, objective)
        is_there = canonical_json(end.spec.stratum) == stratum and value is not None
        if is_there and sign * value <= sign * target:
            return end.at_s
    return None


def _most_at_once(store: Store, trials: Sequence[TrialRecord]) -> int:
    """Return how many trials ran at the same time; a trial began with its last attempt."""
    changes = []
    for trial in trials:
        result, spec = trial.result, trial.spec
        attempt = f"a{result.attempt}.json" if result else ""
        key = layout.trial(spec.study, spec.trial, "attempts", attempt)
        blob = store.get(key)
        if result and blob:
            changes.append((float(read_object(blob.data, key)["started_at"]), 1))
            changes.append((result.finished_at, -1))
    running, most = 0, 1
    for _, change in sorted(changes):
        running += change
        most = max(most, running)
    return most
