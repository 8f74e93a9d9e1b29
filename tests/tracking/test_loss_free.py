"""MLflow is killed while it is written to, and comes back or is replaced: nothing is lost."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from servers.local_stack import LocalStack
from tracking_records import STUDY_SPEC, make_pretrain, make_trial, put_preview, put_shared

from ss3d.settings import Settings
from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.tracking.projector import Projector
from ss3d.tracking.resync import sync
from ss3d.trial.records import TrialRecord

pytestmark = pytest.mark.slow

KILLED_AT_S = 3.0
EPOCHS = 8
TRIALS = (
    make_trial(0, "complete", epochs=EPOCHS),
    make_trial(1, "pruned", epochs=EPOCHS, reason="asha"),
    make_trial(2, "failed", epochs=EPOCHS, reason="killed"),
)


@pytest.mark.parametrize("settings", ["server"], indirect=True)
def test_what_a_killed_server_missed_is_there_afterwards_once(
    settings: Settings,
    store: DirectoryStore,
    put_trial: Callable[[TrialRecord], None],
    migrated_database: Path,
    local_stack: LocalStack,
    tmp_path: Path,
) -> None:
    put_store(store, put_trial, tmp_path)
    undisturbed = Settings(home=tmp_path / "undisturbed", store=store.address)
    undisturbed.home.mkdir()
    shutil.copyfile(migrated_database, undisturbed.home / "mlflow.db")
    sync(store, undisturbed, "demo")
    expected = everything_in(undisturbed, tmp_path)
    assert len(expected) == 1 + 1 + len(TRIALS)
    assert all(len(run["files"]) > 1 for name, run in expected.items() if name.startswith("t0"))

    projector = Projector(settings, store)
    projector.study(STUDY_SPEC)
    started = time.monotonic()
    while (second := time.monotonic() - started) < KILLED_AT_S:
        feed(projector, round(EPOCHS * second / (2 * KILLED_AT_S)))
        time.sleep(0.1)
    local_stack.kill("mlflow")
    feed(projector, EPOCHS)
    for trial in TRIALS:
        projector.trial(trial)
    local_stack.up()
    assert projector.close() == []  # it goes on by itself
    assert sync(store, settings, "demo")["problems"] == {}
    assert everything_in(settings, tmp_path) == expected

    local_stack.empty_tracking()  # as if another server were in its place
    assert sync(store, settings, "demo")["runs"] == len(expected)
    assert everything_in(settings, tmp_path) == expected
    again = sync(store, settings, "demo")
    assert {again[kind] for kind in ("runs", "epochs", "files")} == {0}


def put_store(
    store: DirectoryStore, put_trial: Callable[[TrialRecord], None], folder: Path
) -> None:
    """Write all that the search left."""
    put_shared(store, make_pretrain())
    for trial in TRIALS:
        put_trial(trial)
        put_preview(store, trial.spec.trial, 0, folder)
    (folder / "log.txt").write_text("Traceback")
    store.put_file(layout.trial("demo", "t00002", "log", "a1.txt"), folder / "log.txt")


def feed(projector: Projector, epochs: int) -> None:
    projector.shared(make_pretrain())
    for trial in TRIALS:
        projector.trial(TrialRecord(spec=trial.spec, result=None, reports=trial.reports[:epochs]))


def everything_in(settings: Settings, folder: Path) -> dict[str, Any]:
    """Return all that MLflow holds of the study, by names of runs, with names for their ids."""
    client = MlflowClient(settings.tracking_uri, settings.tracking_uri)
    experiment = client.get_experiment_by_name("shapes")
    assert experiment is not None
    runs = list(client.search_runs([experiment.experiment_id]))
    found = {}
    for run in runs:
        assert run.info.run_name not in found
        points = [
            (point.key, point.step, point.value, point.timestamp)
            for key in run.data.metrics
            for point in client.get_metric_history(run.info.run_id, key)
        ]
        assert len({point[:2] for point in points}) == len(points)
        is_timed = run.data.tags["ss3d.kind"] != "pretrain"  # whose run begins when it is made
        found[run.info.run_name] = {
            "status": run.info.status,
            "times": [run.info.start_time, run.info.end_time] if is_timed else [],
            "params": run.data.params,
            "tags": run.data.tags,
            "points": sorted(point if is_timed else point[:3] for point in points),
            "files": files_of(client, run.info.run_id, folder / run.info.run_id),
        }
    text = json.dumps(found).replace(f"experiments/{experiment.experiment_id}/", "experiments/id/")
    for run in runs:
        text = text.replace(run.info.run_id, f"id of {run.info.run_name.split()[0]}")
    return json.loads(text)


def files_of(client: MlflowClient, run_id: str, folder: Path) -> dict[str, str]:
    """Return the sha256 of every artifact; none of the report, which says when it was made."""
    if not client.list_artifacts(run_id):
        return {}
    folder.mkdir(exist_ok=True)
    client.download_artifacts(run_id, "", str(folder))
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.name != "report.html"
        else ""
        for path in folder.rglob("*")
        if path.is_file()
    }
