"""The Python API: a study as a table, a trained model as a function. `import ss3d` brings both."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ss3d.report.leaderboard import leaderboard, standing
from ss3d.settings import Settings, load_settings
from ss3d.store.opening import open_store
from ss3d.trial.history import load_study_record, load_study_spec
from ss3d.trial.objectives import objectives_of

if TYPE_CHECKING:
    import pandas as pd

    from ss3d.tracking.served_model import ServedModel
    from ss3d.trial.records import TrialRecord

_FIRST = ("trial", "state")


class Study:
    """A study in the store, read anew by every method.

    Args:
        settings: where the store is.
        name: of the study.

    Raises:
        ConfigError: there is no such study.
    """

    def __init__(self, settings: Settings, name: str) -> None:
        self._store = open_store(settings.store_address)
        self.name = name
        self.spec: dict[str, Any] = load_study_spec(self._store, name)
        """study.json: objective, parameters, data set, seed."""

    def trials(self) -> pd.DataFrame:
        """Return one row per trial, in order, also of a study that runs.

        Columns are `trial`, `state`, the parameters under their dotted paths, the values of the
        objectives and of what constraints are about (NaN where there is none), `epochs` and
        `seconds`; with constraints `feasible` (None without values), with several objectives
        `front`: the trial's non-dominated rank, from 1.

        Raises:
            CheckpointError: a stored record is damaged.
        """
        import pandas as pd

        record = load_study_record(self._store, self.name)
        objectives = objectives_of(self.spec)
        standings = {row.trial: standing(row, objectives) for row in leaderboard(record)}
        rows = [_row(trial) | standings[trial.spec.trial] for trial in record.trials]
        names = {name: None for row in rows for name in row}
        last = ["epochs", "seconds"]
        columns = [*(name for name in names or _FIRST if name not in last), *last]
        return pd.DataFrame(rows, columns=columns)


def load_study(name: str, home: Path | str | None = None) -> Study:
    """Open a study.

    Args:
        name: of the study.
        home: folder of store, tracking and cache; default as on the command line.

    Raises:
        ConfigError: there is no such study.
    """
    return Study(load_settings(home=home), name)


def load_model(uri: str, home: Path | str | None = None) -> ServedModel:
    """Load a trained network with its preprocessing.

    Args:
        uri: `models:/NAME@champion`, `models:/NAME/3`, `STUDY/t00017`, or a directory of
            `ss3d train`.
        home: folder of store, tracking and cache; default as on the command line.

    Returns:
        A function of one image or several (paths, bytes or arrays; with a mask: a pair of them) to
        clouds (B, N, 3) float32: unit ball, canonical frame, y up.

    Raises:
        ConfigError: there is no such model, version, trial or directory.
        CheckpointError: its files are damaged.
        ServiceError: MLflow or the store does not answer.
    """
    from ss3d.tracking.resolution import resolve_model
    from ss3d.tracking.served_model import load_model as load_served

    return load_served(resolve_model(load_settings(home=home), uri))


def _row(trial: TrialRecord) -> dict[str, Any]:
    return {
        "trial": trial.spec.trial,
        "state": trial.state,
        **trial.spec.stratum,
        **trial.spec.params,
        **(trial.result.values if trial.result else {}),
        "epochs": max((report.epoch for report in trial.reports), default=0),
        "seconds": sum(report.system["epoch_s"] for report in trial.reports),
    }
