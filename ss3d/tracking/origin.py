"""The MLflow run that shows how a candidate was trained."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from ss3d.report.leaderboard import objective_of
from ss3d.settings import Settings
from ss3d.store.protocol import Store
from ss3d.tracking.candidate import Candidate
from ss3d.tracking.connection import mlflow_errors, open_client
from ss3d.tracking.naming import RUN_TAGS, config_params
from ss3d.tracking.projection import Projection
from ss3d.tracking.run_index import open_experiment
from ss3d.tracking.runs import RunWriter
from ss3d.trial.files import read_json

_TRAINED_ALONE = "ss3d-train"
"""Experiment of models that `ss3d train` made, outside any study."""


def show_origin(store: Store, settings: Settings, candidate: Candidate) -> str:
    """Write the run of a candidate, where it is missing, and return its id.

    Raises:
        CheckpointError: the trial's best weights are damaged.
        ServiceError: MLflow does not answer.
    """
    if candidate.record is None or candidate.study_spec is None:
        return _show_directory(settings, candidate)
    return Projection(settings, store).trial(candidate.study_spec, candidate.record)


def _show_directory(settings: Settings, candidate: Candidate) -> str:
    """Make a run for what `ss3d train` left and return its id."""
    client = open_client(settings)
    with mlflow_errors(settings):
        experiment = open_experiment(client, settings, _TRAINED_ALONE, objective_of({}))
        tags = {**RUN_TAGS, "ss3d.kind": "train", "ss3d.train": candidate.trial}
        run = client.create_run(experiment, tags=tags, run_name=Path(candidate.trial).name)
        writer = RunWriter(client, run, Counter())
        writer.write(config_params(candidate.config))
        for name, value in read_json(candidate.best / "metrics.json").get("val", {}).items():
            client.log_metric(run.info.run_id, name, value)
        writer.write_status("FINISHED")
        return run.info.run_id
