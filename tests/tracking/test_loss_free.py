"""MLflow is killed while it is written to, and comes back or is replaced: nothing is lost."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
from mlflow import MlflowClient
from tracking_records import STUDY_SPEC, make_pretrain, make_trial, put_preview, put_shared

from ss3d.settings import Settings
from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.tracking.projector import Projector
from ss3d.tracking.resync import sync
from ss3d.tracking.server import serve_pages
from ss3d.trial.records import TrialRecord

pytestmark = pytest.mark.slow

KILLED_AT_S = 3.0
EPOCHS = 8
TRIALS = (
    make_trial(0, "complete", epochs=EPOCHS),
    make_trial(1, "pruned", epochs=EPOCHS, reason="asha"),
    make_trial(2, "failed", epochs=EPOCHS, reason="killed"),
)


class Server:
    """An MLflow server on one port, which is harmed and comes back."""

    def __init__(self) -> None:
        self.port = 0
        self._running = ExitStack()

    def start(self, settings: Settings) -> Settings:
        """Serve a tracking store; return how it is reached, with the same home."""
        address, process = self._running.enter_context(serve_pages(settings, self.port))
        self.port = int(address.rpartition(":")[2])
        self.family = [*psutil.Process(process.pid).children(recursive=True), process]
        return settings.model_copy(update={"tracking": address})

    def kill(self) -> None:
        for process in self.family:
            process.kill()
        self._running.close()


def test_what_a_killed_server_missed_is_there_afterwards_once(
    settings: Settings,
    store: DirectoryStore,
    put_trial: Callable[[TrialRecord], None],
    migrated_database: Path,
    tmp_path: Path,
) -> None:
    put_store(store, put_trial, tmp_path)
    undisturbed, empty = (at_home(tmp_path / name, migrated_database, store) for name in "ab")
    sync(store, undisturbed, "demo")
    expected = everything_in(undisturbed, tmp_path)
    assert len(expected) == 1 + 1 + len(TRIALS)
    assert all(len(run["files"]) > 1 for name, run in expected.items() if name.startswith("t0"))

    server = Server()
    reached = server.start(settings)
    projector = Projector(reached, store)
    started, steps = time.monotonic(), 0
    projector.study(STUDY_SPEC)
    while (second := time.monotonic() - started) < KILLED_AT_S:
        feed(projector, round(EPOCHS * second / (2 * KILLED_AT_S)))
        steps += 1
        time.sleep(0.1)
    server.kill()
    feed(projector, EPOCHS)
    for trial in TRIALS:
        projector.trial(trial)
    assert steps > 3
    server.start(settings)
    assert projector.close() == []  # it went on by itself
    assert sync(store, reached, "demo")["problems"] == {}
    assert everything_in(reached, tmp_path) == expected

    server.kill()
    server.start(empty)
    counts = sync(store, reached, "demo")
    assert counts["runs"] == len(expected)
    assert everything_in(reached, tmp_path) == expected
    assert {sync(store, reached, "demo")[kind] for kind in ("runs", "epochs", "files")} == {0}
    server.kill()


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


def at_home(home: Path, database: Path, store: DirectoryStore) -> Settings:
    """Return a tracking store of its own, which is empty, for the same studies."""
    home.mkdir()
    shutil.copyfile(database, home / "mlflow.db")
    return Settings(home=home, store=store.address)


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
    text = json.dumps(found)
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
