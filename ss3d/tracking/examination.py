"""Whether MLflow shows what the store holds of a study: every run once, with its last values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ss3d.errors import ServiceError
from ss3d.report.leaderboard import objective_of
from ss3d.settings import Settings
from ss3d.tracking.projection import STATUS
from ss3d.tracking.run_index import list_runs
from ss3d.tracking.runs import MARKER
from ss3d.tracking.statuses import Status, study_status
from ss3d.trial.check import Check, settled
from ss3d.trial.records import StudyRecord, TrialRecord

if TYPE_CHECKING:
    from mlflow.entities import Run

Runs = Mapping[str, Sequence["Run"]]


def check_runs(
    settings: Settings, record: StudyRecord, budget: int, ended: str, is_running: bool
) -> list[Check]:
    """Compare the runs of a study's trials, of what they share, and its own with the store.

    Args:
        settings: where MLflow is.
        record: the study as the store has it.
        budget: its number of trials.
        ended: why its last session ended by itself; empty if it was interrupted.
        is_running: a driver runs it now: only what is final is judged.

    Returns:
        One check that says so if MLflow is away.
    """
    try:
        runs = {
            kind: list_runs(settings, record.spec, kind)
            for kind in ("study", "trial", "pretrain", "control")
        }
    except ServiceError as error:
        advice = "start it, then ask again; the store needs no MLflow"
        return [Check("MLflow", str(error), advice=advice, is_away=True)]
    sync = f"`ss3d sync {record.name}` writes what is missing"
    twice = "delete all but the oldest of several runs, and those without a trial, in `ss3d ui`"
    status = None if is_running else study_status(record.trials, budget, ended, is_running)
    shared = {**runs["pretrain"], **runs["control"]}
    count = sum(len(found) for found in runs["trial"].values())
    differences = tuple(_wrong_trials(record, runs["trial"], is_running))
    parents = runs["study"].get(record.name, ())
    return [
        Check("MLflow: study", f"runs: {len(parents)}", tuple(_wrong_study(parents, status)), sync),
        Check("MLflow: trials", f"runs: {count}", differences, f"{sync}; {twice}"),
        Check(
            "MLflow: shared",
            f"complete: {sum(one.complete for one in record.shared)}",
            tuple(_wrong_shared(record, shared, is_running)),
            f"{sync}; {twice}",
        ),
    ]


def _wrong_study(runs: Sequence[Run], status: Status | None) -> Iterable[str]:
    yield from _not_once("the study", runs)
    for run in runs[:1]:
        if status and run.info.status != status:
            yield f"the study: {run.info.status} there, {status} by the store"


def _wrong_trials(record: StudyRecord, runs: Runs, is_running: bool) -> Iterable[str]:
    metric = objective_of(record.spec).metric
    for trial in settled(record, is_running):
        found = runs.get(f"{record.name}/{trial.spec.trial}", ())
        yield from _not_once(trial.spec.trial, found)
        for run in found[:1]:
            yield from _wrong_run(trial, run, metric)
    known = {f"{record.name}/{trial.spec.trial}" for trial in record.trials}
    if not is_running:
        yield from (
            f"{address}: a run of a trial that the store does not have"
            for address in sorted(set(runs) - known)
            if address.partition("/")[0] == record.name
        )


def _wrong_run(trial: TrialRecord, run: Run, metric: str) -> Iterable[str]:
    name, status = trial.spec.trial, STATUS[trial.state]
    if run.info.status != status:
        yield f"{name}: {run.info.status} there, {trial.state} in the store"
    last = next((r for r in reversed(trial.reports) if r.phase == "semi"), None)
    if last is None:
        return
    for key, value in ((MARKER, float(last.step)), (metric, last.metrics.get(metric, math.nan))):
        held = run.data.metrics.get(key)
        if math.isfinite(value) and held != value:
            yield f"{name}: {key} {held} there, {value} in the store"


def _wrong_shared(record: StudyRecord, runs: Runs, is_running: bool) -> Iterable[str]:
    """Yield what is wrong with the runs of what is complete; others may still be made elsewhere."""
    for shared in record.shared:
        if not shared.complete or is_running:
            continue
        found, name = runs.get(shared.key, ()), f"{shared.kind} {shared.key[:8]}"
        yield from _not_once(name, found)
        for run in found[:1]:
            if run.info.status != "FINISHED":
                yield f"{name}: {run.info.status} there, complete in the store"


def _not_once(name: str, runs: Sequence[Run]) -> Iterable[str]:
    if len(runs) != 1:
        yield f"{name}: {len(runs) or 'no'} runs"
