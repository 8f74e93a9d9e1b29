"""Promotion: a trained network becomes a version of a registered model and its champion."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ss3d.config import TrialConfig
from ss3d.errors import CheckpointError, RefusedError
from ss3d.report.leaderboard import objective_of
from ss3d.settings import Settings
from ss3d.store import layout
from ss3d.store.bundle import get_bundle
from ss3d.store.protocol import Store
from ss3d.tracking.choice import choose_trial
from ss3d.tracking.connection import mlflow_errors, open_client
from ss3d.tracking.naming import RUN_TAGS, config_params
from ss3d.tracking.projection import Projection
from ss3d.tracking.registration import Candidate, register
from ss3d.tracking.resolution import resolve_model
from ss3d.tracking.run_index import open_experiment
from ss3d.tracking.runs import RunWriter
from ss3d.trial.files import read_json
from ss3d.trial.history import load_study_record, load_study_spec, load_trial_record
from ss3d.trial.records import TrialRecord
from ss3d.trial.spec import code_version

__all__ = ["promote", "promote_directory", "resolve_model"]

_TRAINED_ALONE = "ss3d-train"
"""Experiment of models that `ss3d train` made, outside any study."""


def promote(
    store: Store,
    settings: Settings,
    study: str,
    trial: str | None,
    model_name: str,
    where: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Register a trial's best weights as the champion of a model.

    Args:
        store: where the study is.
        settings: where MLflow is.
        study: name.
        trial: id; None takes the best complete trial by the study's objective.
        model_name: of the registered model, made if there is none.
        where: parameter values that name one stratum of a study with several.

    Returns:
        `model`, `version`, `alias`, `study`, `trial` and `previous`, the version that was champion
        or None.

    Raises:
        ConfigError: a name is not valid, or there is no such study or trial.
        RefusedError: the trial is not complete, the stratum is open, or somebody else promoted.
        CheckpointError: the trial's best weights are damaged.
        ServiceError: MLflow does not answer.
    """
    layout.check_model_name(model_name)
    trial = trial or choose_trial(load_study_record(store, study), where or {})
    record = load_trial_record(store, study, trial)
    _must_be_complete(record)
    run_id = Projection(settings, store).trial(load_study_spec(store, study), record)
    with tempfile.TemporaryDirectory(prefix="ss3d-promote-") as folder:
        best = Path(folder) / "best"
        get_bundle(store, layout.trial(study, trial, "best"), best)
        candidate = Candidate(
            study=study,
            trial=trial,
            best=best,
            run_id=run_id,
            code_version=record.spec.code_version,
        )
        return register(store, settings, candidate, model_name)


def promote_directory(
    store: Store, settings: Settings, directory: Path, model_name: str
) -> dict[str, Any]:
    """Register what `ss3d train` left in a directory as the champion of a model.

    Returns:
        As `promote`; `study` is None and `trial` is the directory.

    Raises:
        ConfigError: the model's name is not valid.
        CheckpointError: the directory holds no exported network.
        ServiceError: MLflow does not answer.
    """
    layout.check_model_name(model_name)
    best = directory / "best" if (directory / "best").is_dir() else directory
    if not (best / "student.safetensors").is_file():
        raise CheckpointError(f"{directory}: holds no best/student.safetensors; is it trained?")
    candidate = Candidate(
        study=None,
        trial=str(directory),
        best=best,
        run_id=_show_directory(settings, directory, best),
        code_version=code_version(),
    )
    return register(store, settings, candidate, model_name)


def _show_directory(settings: Settings, directory: Path, best: Path) -> str:
    """Make a run for what `ss3d train` left and return its id."""
    config = TrialConfig.parse(read_json(best / "config.json"))
    client = open_client(settings)
    with mlflow_errors(settings):
        experiment = open_experiment(client, settings, _TRAINED_ALONE, objective_of({}))
        tags = {**RUN_TAGS, "ss3d.kind": "train", "ss3d.train": str(directory)}
        run = client.create_run(experiment, tags=tags, run_name=directory.name)
        writer = RunWriter(client, run, Counter())
        writer.write_params(config_params(config))
        for name, value in read_json(best / "metrics.json").get("val", {}).items():
            client.log_metric(run.info.run_id, name, value)
        writer.write_status("FINISHED")
        return run.info.run_id


def _must_be_complete(record: TrialRecord) -> None:
    if record.state != "complete":
        reason = f" ({record.result.reason})" if record.result and record.result.reason else ""
        raise RefusedError(
            f"trial {record.spec.study}/{record.spec.trial} is {record.state}{reason}; only "
            "complete trials are promoted"
        )
