"""What one check of a study found: the same words for store, Optuna's journal and MLflow."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from ss3d.trial.records import StudyRecord, TrialRecord

_SETTLED_S = 60.0

Outcome = Literal["ok", "differs", "away"]


@dataclass(frozen=True)
class Check:
    """One check and its answer."""

    name: str
    counted: str
    """What was looked at: `trials: 12`."""
    differences: tuple[str, ...] = ()
    advice: str = ""
    """What to do about differences."""
    is_away: bool = False
    """Whether nobody answered, so that nothing was compared."""

    @property
    def outcome(self) -> Outcome:
        """Return what the answer comes to."""
        if self.is_away:
            return "away"
        return "differs" if self.differences else "ok"


def settled(record: StudyRecord, is_running: bool) -> list[TrialRecord]:
    """Return the trials that can be judged: their result is in the store.

    Args:
        record: of the study.
        is_running: a driver runs it now: what it finished within the last minute may still be on
            its way to others.
    """
    latest = time.time() - _SETTLED_S if is_running else float("inf")
    return [t for t in record.trials if t.result and t.result.finished_at < latest]
