import logging
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient
from servers.local_stack import ON_EACH_TRACKING
from tracking_records import STUDY_SPEC, make_pretrain, make_trial

from ss3d.settings import Settings
from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.tracking.projector import Projector
from ss3d.tracking.resync import sync
from ss3d.tracking.run_index import trial_run_ids
from ss3d.trial.records import StudyRecord, TrialRecord

PutTrial = Callable[[TrialRecord], None]


def statuses(settings: Settings) -> dict[str, str]:
    client = MlflowClient(settings.tracking_uri)
    experiment = client.get_experiment_by_name("shapes")
    if experiment is None:
        return {}
    runs = client.search_runs([experiment.experiment_id])
    return {run.info.run_name.split(" ")[0]: run.info.status for run in runs}


@ON_EACH_TRACKING
def test_everything_given_is_written_when_it_closes(
    settings: Settings, store: DirectoryStore, put_trial: PutTrial
) -> None:
    put_trial(make_trial(0, "complete"))
    with Projector(settings, store) as projector:
        projector.study(STUDY_SPEC)
        projector.shared(make_pretrain())
        for epochs in range(1, 4):
            projector.trial(make_trial(0, epochs=epochs))
        projector.trial(make_trial(0, "complete"))
        assert projector.close() == []
    assert statuses(settings) == {
        "demo": "FINISHED",
        "pretrain": "FINISHED",
        "t00000": "FINISHED",
    }


def test_the_page_of_a_finished_study_is_written_once(
    settings: Settings, store: DirectoryStore, put_trial: PutTrial
) -> None:
    put_trial(make_trial(0, "complete"))
    told: list[str] = []

    def importances(study: StudyRecord) -> list[dict[str, object]]:
        told.append(study.name)
        return []

    with Projector(settings, store, importances) as projector:
        projector.study(STUDY_SPEC)
        projector.trial(make_trial(0, "complete"))
    assert told == ["demo"]
    assert sync(store, settings, "demo")["files"] == 0


@ON_EACH_TRACKING
def test_an_interrupted_study_is_shown_as_such_and_goes_on(
    settings: Settings, store: DirectoryStore, put_trial: PutTrial
) -> None:
    put_trial(make_trial(0, "complete"))
    with Projector(settings, store) as projector:
        projector.study(STUDY_SPEC)
        projector.trial(make_trial(0, epochs=2))
    assert statuses(settings) == {"demo": "KILLED", "t00000": "RUNNING"}
    with Projector(settings, store) as projector:
        projector.study(STUDY_SPEC)
        projector.trial(make_trial(0, "complete"))
    assert statuses(settings) == {"demo": "FINISHED", "t00000": "FINISHED"}


def test_what_cannot_be_written_is_reported_and_disturbs_nothing_else(
    settings: Settings,
    store: DirectoryStore,
    put_trial: PutTrial,
    caplog: pytest.LogCaptureFixture,
) -> None:
    put_trial(make_trial(1, "pruned"))
    with caplog.at_level(logging.WARNING):
        projector = Projector(settings, store)
        projector.study(STUDY_SPEC)
        projector.trial(make_trial(0, "complete"))  # its best weights are not in the store
        projector.trial(make_trial(1, "pruned"))
        assert projector.close() == ["trial demo/t00000"]
    assert "no bundle" in caplog.text
    assert "ss3d sync" in caplog.text
    assert statuses(settings)["t00001"] == "KILLED"


def test_a_tracking_store_that_is_away_costs_the_caller_nothing(
    tmp_path: Path, store: DirectoryStore, put_trial: PutTrial, caplog: pytest.LogCaptureFixture
) -> None:
    put_trial(make_trial(0))
    away = Settings(home=tmp_path, tracking="http://127.0.0.1:9")
    projector = Projector(away, store)
    started = time.monotonic()
    projector.study(STUDY_SPEC)
    projector.trial(make_trial(0))
    assert time.monotonic() - started < 1
    assert set(projector.close(timeout_s=0.5)) >= {"trial demo/t00000"}


def test_a_pretraining_that_did_not_end_is_killed_with_its_search(
    settings: Settings, store: DirectoryStore, put_trial: PutTrial
) -> None:
    put_trial(make_trial(0))
    with Projector(settings, store) as projector:
        projector.study(STUDY_SPEC)
        projector.shared(make_pretrain(complete=False))
    assert statuses(settings) == {"demo": "KILLED", "pretrain": "KILLED"}
    with Projector(settings, store) as projector:
        projector.study(STUDY_SPEC)
        projector.shared(make_pretrain())
        projector.trial(make_trial(0, "pruned"))
    assert statuses(settings)["pretrain"] == "FINISHED"


def test_a_pretraining_that_failed_fails_with_all_trials_that_needed_it(
    settings: Settings, store: DirectoryStore, put_trial: PutTrial
) -> None:
    put_trial(make_trial(0))
    with Projector(settings, store) as projector:
        projector.study(STUDY_SPEC)
        projector.shared(make_pretrain(complete=False))
        projector.trial(make_trial(0, "failed", epochs=0, reason="its pretraining failed: killed"))
    assert statuses(settings) == {"demo": "FINISHED", "pretrain": "FAILED", "t00000": "FAILED"}


def test_a_finished_trial_links_to_a_control_that_came_later(
    settings: Settings, store: DirectoryStore, put_trial: PutTrial
) -> None:
    control = make_pretrain().model_copy(update={"kind": "control", "key": "cd" * 32})
    trial = make_trial(0, "pruned")
    spec = trial.spec.model_copy(update={"control_key": control.key})
    trial = trial.model_copy(update={"spec": spec})
    put_trial(trial)
    with Projector(settings, store) as projector:
        projector.study(STUDY_SPEC)
        projector.trial(trial)
        wait_until(lambda: statuses(settings).get("t00000") == "KILLED")
        projector.shared(control)
    client = MlflowClient(settings.tracking_uri)
    (run_id,) = trial_run_ids(settings, STUDY_SPEC).values()
    linked = client.get_run(client.get_run(run_id).data.tags["ss3d.control_run"])
    assert linked.data.tags["ss3d.control"] == control.key


def test_a_log_that_came_late_is_fetched_when_it_closes(
    settings: Settings, store: DirectoryStore, put_trial: PutTrial, tmp_path: Path
) -> None:
    record = make_trial(0, "failed", reason="killed")
    put_trial(record)
    with Projector(settings, store) as projector:
        projector.study(STUDY_SPEC)
        projector.trial(record)
        wait_until(lambda: statuses(settings).get("t00000") == "FAILED")
        (tmp_path / "log.txt").write_text("Traceback")
        store.put_file(layout.trial("demo", "t00000", "log", "a1.txt"), tmp_path / "log.txt")
    client = MlflowClient(settings.tracking_uri)
    run_id = trial_run_ids(settings, STUDY_SPEC)["t00000"]
    assert [entry.path for entry in client.list_artifacts(run_id, "log")] == ["log/a1.txt"]


def wait_until(is_so: Callable[[], bool], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)
