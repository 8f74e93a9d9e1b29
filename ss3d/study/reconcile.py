"""Making the store, Optuna and the session agree, before anything is started."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from ss3d.errors import CheckpointError
from ss3d.store import layout
from ss3d.store.protocol import Store
from ss3d.study.entries import seconds_of
from ss3d.study.patience import put_once
from ss3d.study.rungs import Decision
from ss3d.trial.history import load_study_record, read_object, read_reports
from ss3d.trial.objectives import Objectives
from ss3d.trial.records import SharedRecord, TrialRecord, TrialResult


@dataclass(frozen=True)
class Agreement:
    """What the store says of a study."""

    trials: tuple[TrialRecord, ...]
    shared: tuple[SharedRecord, ...]
    """The pretrained states and controls they share, as far as they got."""
    decided: dict[tuple[str, int], Decision]
    num_committed: int
    """Results that were ready and are written now: their driver had died before."""


def reconcile(store: Store, study: str, objectives: Objectives) -> Agreement:
    """Commit what is ready and return all trials of a study.

    A trial whose final epoch is in the store is complete, though its driver died before it could
    write the result. What has no result afterwards goes on under the same number.

    Raises:
        CheckpointError: a record is damaged.
    """
    trials = []
    num_committed = 0
    stored = load_study_record(store, study)
    for record in stored.trials:
        result = record.result or _final_result(store, record, objectives)
        if result and not record.result:
            key = layout.trial(study, record.spec.trial, "result.json")
            put_once(store, key, result.to_json())
            num_committed += 1
        reports = result.reports if result else record.reports
        trials.append(TrialRecord(spec=record.spec, result=result, reports=reports))
    decided = dict(_read_decisions(store, study))
    return Agreement(tuple(trials), stored.shared, decided, num_committed)


def _final_result(store: Store, record: TrialRecord, objectives: Objectives) -> TrialResult | None:
    """Return the result of a trial whose last epochs file says that it is the last."""
    spec = record.spec
    for key in store.list(layout.trial(spec.study, spec.trial, "epochs") + "/"):
        blob = store.get(key)
        tree = read_object(blob.data, key) if blob else {}
        if blob and tree.get("final"):
            reports = read_reports(blob.data)
            return TrialResult(
                study=spec.study,
                trial=spec.trial,
                state="complete",
                values=objectives.measured(reports[-1]),
                reports=reports,
                seconds=seconds_of(reports),
                attempt=tree["attempt"],
                reason="",
                finished_at=time.time(),
            )
    return None


def _read_decisions(store: Store, study: str) -> Iterator[tuple[tuple[str, int], Decision]]:
    for key in store.list(layout.study(study, "decisions") + "/"):
        trial, _, epoch = key.rpartition("/")[2].removesuffix(".json").partition("-e")
        blob = store.get(key)
        tree = read_object(blob.data, key) if blob else {}
        try:
            del tree["schema"]
            yield (trial, int(epoch)), Decision.from_tree(tree)
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{key} is damaged: {error}") from error
