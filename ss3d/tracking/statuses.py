"""MLflow's status of a study and of what its trials share, from their records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ss3d.trial.records import SharedRecord, TrialRecord

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]


def study_status(
    trials: Sequence[TrialRecord], budget: int, ended: str, is_running: bool
) -> Status:
    """Return a study's status; KILLED says that it was interrupted and can be resumed.

    Args:
        trials: all that are known.
        budget: number of trials, extensions included.
        ended: why its last session ended by itself; empty if it was interrupted.
        is_running: somebody drives it now.
    """
    if is_running:
        return "RUNNING"
    finished = sum(trial.result is not None for trial in trials)
    return "FINISHED" if ended or finished >= max(len(trials), budget) else "KILLED"


def shared_status(record: SharedRecord, trials: Sequence[TrialRecord], is_running: bool) -> Status:
    """Return a shared run's status; FAILED for a pretrain that took all its trials with it.

    Args:
        record: of the shared pretrained state or control.
        trials: of the study.
        is_running: somebody drives the study now.
    """
    if record.complete:
        return "FINISHED"
    needing = [trial for trial in trials if trial.spec.pretrain_key == record.key]
    if needing and all(failed_before_start(trial) for trial in needing):
        return "FAILED"
    return "RUNNING" if is_running else "KILLED"


def failed_before_start(trial: TrialRecord) -> bool:
    """Return whether a trial failed without epoch 0, which its pretrained state would have been."""
    return trial.state == "failed" and not any(r.phase == "semi" for r in trial.reports)
