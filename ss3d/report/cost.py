"""What a study cost: training seconds by phase, and how many sharing and stopping saved."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ss3d.report.leaderboard import by_stratum, describe_values, duration
from ss3d.store import layout
from ss3d.store.protocol import Store
from ss3d.trial.history import read_object
from ss3d.trial.records import SharedRecord, StudyRecord, TrialRecord

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Cost:
    """Training seconds of some trials and of what they share; epochs lost by kills are unknown."""

    num_trials: int
    pretrain_s: float
    """Of pretrained states that this study made; a state of several strata is divided by trials."""
    semi_s: float
    """Of the trials themselves, whatever their end."""
    control_s: float
    """Of supervised controls that this study made."""
    failed_s: float
    """Of trials that failed, and of shared trainings that did; contained in the others."""
    saved_by_sharing_s: float
    """What pretraining for every trial that started would have cost more; controls count nothing:
    nobody would train one per trial."""
    saved_by_stopping_s: float
    """Epochs that pruned trials did not run, at the mean seconds of each trial's own epochs."""

    @property
    def spent_s(self) -> float:
        """Return all that was spent."""
        return self.pretrain_s + self.semi_s + self.control_s

    @property
    def factor(self) -> float:
        """Return how many times more it would have cost unshared and unstopped; NaN of nothing."""
        saved = self.saved_by_sharing_s + self.saved_by_stopping_s
        return (self.spent_s + saved) / self.spent_s if self.spent_s > 0 else math.nan


@dataclass(frozen=True)
class StratumCost:
    """The cost of one stratum, or of one arm and replicate."""

    stratum: dict[str, Any]
    cost: Cost


def study_cost(
    study: StudyRecord,
    borrowed: Collection[str] = (),
    trained: Mapping[str, float] | None = None,
) -> list[StratumCost]:
    """Return the cost of each stratum of a study.

    Args:
        study: with its trials and what they share.
        borrowed: keys of pretrained states and controls that another study made.
        trained: seconds that this study's sessions trained each of them, by key: of one that is
            not complete, and left no reports, nothing else is known.
    """
    known = [_with_seconds(of, trained or {}) for of in study.shared]
    shared = [(of, _users(study, of), of.key in borrowed) for of in known]
    return [
        StratumCost(dict(trials[0].spec.stratum), _cost(trials, shared))
        for trials in by_stratum(study.trials).values()
    ]


def total_cost(costs: Sequence[StratumCost]) -> Cost:
    """Return the sum over strata."""
    parts = [part.cost for part in costs]
    return Cost(
        num_trials=sum(part.num_trials for part in parts),
        pretrain_s=math.fsum(part.pretrain_s for part in parts),
        semi_s=math.fsum(part.semi_s for part in parts),
        control_s=math.fsum(part.control_s for part in parts),
        failed_s=math.fsum(part.failed_s for part in parts),
        saved_by_sharing_s=math.fsum(part.saved_by_sharing_s for part in parts),
        saved_by_stopping_s=math.fsum(part.saved_by_stopping_s for part in parts),
    )


def borrowed_keys(store: Store, study: StudyRecord) -> set[str]:
    """Return the keys of what other studies made, by the records of all attempts.

    Raises:
        CheckpointError: the record of an attempt is damaged.
    """
    return {of.key for of in study.shared if study.name not in _makers(store, of, study.name)}


def cost_as_values(cost: Cost) -> dict[str, Any]:
    """Return a cost as `--json` shows it, all in seconds."""
    return {
        "trials": cost.num_trials,
        "spent_s": cost.spent_s,
        "pretrain_s": cost.pretrain_s,
        "semi_s": cost.semi_s,
        "control_s": cost.control_s,
        "failed_s": cost.failed_s,
        "saved_by_sharing_s": cost.saved_by_sharing_s,
        "saved_by_stopping_s": cost.saved_by_stopping_s,
        "factor": cost.factor,
    }


def cost_table(cost: Cost, title: str = "") -> Table:
    """Return a cost for the terminal, one line per part."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=title or None, box=SIMPLE_HEAD, pad_edge=False, title_justify="left")
    table.add_column(f"{cost.num_trials} trials", no_wrap=True)
    table.add_column("training time", justify="right", no_wrap=True)
    table.add_row("pretraining", duration(cost.pretrain_s))
    table.add_row("teacher-student", duration(cost.semi_s))
    table.add_row("controls", duration(cost.control_s), end_section=True)
    table.add_row("spent", duration(cost.spent_s), style="bold")
    table.add_row("  wasted by failures", duration(cost.failed_s), end_section=True)
    table.add_row("saved by sharing", duration(cost.saved_by_sharing_s))
    table.add_row("saved by stopping", duration(cost.saved_by_stopping_s), end_section=True)
    table.add_row("factor", _factor(cost.factor), style="bold")
    return table


def strata_table(costs: Sequence[StratumCost]) -> Table:
    """Return what each stratum spent and saved, one line each."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("stratum")
    for name in ("trials", "spent", "by sharing", "by stopping", "factor"):
        table.add_column(name, justify="right", no_wrap=True)
    for part in costs:
        cost = part.cost
        saved = (cost.saved_by_sharing_s, cost.saved_by_stopping_s)
        times = [duration(seconds) for seconds in (cost.spent_s, *saved)]
        name = describe_values(part.stratum)
        table.add_row(name, str(cost.num_trials), *times, _factor(cost.factor))
    return table


def seconds_of_trial(trial: TrialRecord) -> float:
    """Return the seconds of a trial's own epochs, the pretrained value's evaluation included."""
    return math.fsum(report.system["epoch_s"] for report in trial.reports)


def _cost(trials: list[TrialRecord], shared: list[tuple[SharedRecord, list[str], bool]]) -> Cost:
    names = {trial.spec.trial for trial in trials}
    spent: dict[str, list[float]] = {"pretrain": [], "control": []}
    is_running = any(trial.state == "running" for trial in trials)
    failed = [seconds_of_trial(trial) for trial in trials if trial.state == "failed"]
    saved = []
    for of, users, is_borrowed in shared:
        share = sum(user in names for user in users) / len(users)
        if not is_borrowed:
            spent[of.kind].append(of.seconds * share)
            failed += [] if of.complete or is_running else [of.seconds * share]
        starters = _num_started(trials, of.key)
        if of.kind == "pretrain" and starters:
            saved.append(of.seconds * (starters - (0 if is_borrowed else share)))
    return Cost(
        num_trials=len(trials),
        pretrain_s=math.fsum(spent["pretrain"]),
        semi_s=math.fsum(seconds_of_trial(trial) for trial in trials),
        control_s=math.fsum(spent["control"]),
        failed_s=math.fsum(failed),
        saved_by_sharing_s=math.fsum(saved),
        saved_by_stopping_s=math.fsum(_saved_by_stopping(trial) for trial in trials),
    )


def _with_seconds(of: SharedRecord, trained: Mapping[str, float]) -> SharedRecord:
    if of.complete:
        return of
    return of.model_copy(update={"seconds": max(of.seconds, trained.get(of.key, 0.0))})


def _users(study: StudyRecord, of: SharedRecord) -> list[str]:
    """Return the trials that share something: those that started from it, if any did."""
    users = [t for t in study.trials if of.key in (t.spec.pretrain_key, t.spec.control_key)]
    started = [t for t in users if t.reports]
    return [trial.spec.trial for trial in started or users]


def _num_started(trials: list[TrialRecord], key: str) -> int:
    return sum(bool(trial.reports) and trial.spec.pretrain_key == key for trial in trials)


def _saved_by_stopping(trial: TrialRecord) -> float:
    """Return the seconds of the epochs that a pruned trial did not run."""
    if trial.state != "pruned":
        return 0.0
    own = [r.system["epoch_s"] for r in trial.reports if r.phase == "semi" and r.epoch > 0]
    if not own:
        return 0.0
    last = max(report.epoch for report in trial.reports)
    return (trial.spec.config.semi.epochs - last) * math.fsum(own) / len(own)


def _makers(store: Store, of: SharedRecord, unknown: str) -> set[str]:
    """Return the studies whose attempts made something shared; `unknown` where none is recorded."""
    keys = store.list(layout.shared(of.kind, of.key, "attempts") + "/")
    blobs = {key: store.get(key) for key in keys}
    found = {
        read_object(blob.data, key).get("study", unknown) for key, blob in blobs.items() if blob
    }
    return found or {unknown}


def _factor(factor: float) -> str:
    return "–" if math.isnan(factor) else f"{factor:.2f} ×"
