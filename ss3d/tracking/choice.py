"""Which trial of a study is promoted when none is named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ss3d.errors import RefusedError
from ss3d.report.leaderboard import by_stratum, leaderboard
from ss3d.trial.records import StudyRecord


def choose_trial(study: StudyRecord, where: Mapping[str, Any]) -> str:
    """Return the best complete, feasible trial of a study, within one stratum.

    With several objectives that is the one on the Pareto front with the best primary objective.

    Args:
        study: with its trials.
        where: parameter values that the trial must have.

    Raises:
        RefusedError: no complete, feasible trial is left, or trials of several strata are.
    """
    kept = [
        trial
        for trial in study.trials
        if all(_equal(trial.spec.config.flatten().get(path), v) for path, v in where.items())
    ]
    strata = by_stratum(kept)
    if len(strata) > 1:
        path = next(iter(kept[0].spec.stratum))
        raise RefusedError(
            f"study {study.name} has {len(strata)} strata, whose trials are not compared: "
            f"{', '.join(strata)}; say which, e.g. --where {path}={kept[0].spec.stratum[path]}"
        )
    rows = leaderboard(study.model_copy(update={"trials": tuple(kept)}))
    if not rows or rows[0].rank is None:
        asked = f" where {dict(where)}" if where else ""
        kind = "complete" if not rows or rows[0].is_feasible is None else "complete, feasible"
        raise RefusedError(f"study {study.name} has no {kind} trial{asked}; nothing to promote")
    return rows[0].trial


def _equal(value: object, wanted: object) -> bool:
    """Return whether a value is the one asked for; text from a command line may name a number."""
    return value == wanted or str(value) == str(wanted)
