"""Attempts at jobs in this process: no Ray."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ss3d.cli.main import app
from ss3d.config import TrialConfig
from ss3d.data.dataset import open_dataset
from ss3d.errors import CheckpointError, ServiceError
from ss3d.store import layout
from ss3d.store.bundle import read_manifest
from ss3d.store.directory import DirectoryStore
from ss3d.store.protocol import Blob
from ss3d.study.attempt import run_job
from ss3d.study.job import Job, Place, Progress
from ss3d.study.spool import waiting_in
from ss3d.study.uploader import Uploader
from ss3d.study.worker import Worker
from ss3d.trial.history import load_shared_record, read_reports, shared_export, why_failed
from ss3d.trial.records import TrialResult, TrialSpec

KEY = "ab" * 32
PRETRAIN, TRIAL = Job("pretrain", "t00000", KEY), Job("trial", "t00000", KEY)
CONTROL = Job("control", "t00000", "cd" * 32)


class Forgetful(DirectoryStore):
    """A store whose first answer is lost on its way."""

    has_answered = False

    def put_new(self, key: str, data: bytes) -> str:
        version = super().put_new(key, data)
        if not self.has_answered:
            self.has_answered = True
            raise ServiceError("the answer was lost")
        return version


class Away(DirectoryStore):
    """A store that takes nothing until it is back."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.is_back = threading.Event()

    def put_new(self, key: str, data: bytes) -> str:
        if not self.is_back.is_set():
            raise ServiceError("the store is away")
        return super().put_new(key, data)


class Early(DirectoryStore):
    """A store that was asked for the manifest of a key before it was there."""

    def get(self, key: str) -> Blob | None:
        return None if key == layout.pretrain(KEY, "manifest.json") else super().get(key)


@pytest.fixture
def worker(tmp_path: Path, data_folder: Path) -> Iterator[Worker]:
    place = Place("s", str(tmp_path / "store"), str(data_folder), str(tmp_path / "cache"), False)
    worker = Worker(place)
    yield worker
    worker.uploader.close(5)


@pytest.fixture
def sealed(worker: Worker, quick_config: TrialConfig, data_folder: Path) -> TrialSpec:
    spec = TrialSpec(
        study="s",
        trial="t00000",
        params={},
        distributions={},
        stratum={},
        config=quick_config.override({"pretrain.steps": 2, "semi.steps": 2, "semi.epochs": 1}),
        pretrain_key=KEY,
        code_version="c",
        data_hash=open_dataset(DirectoryStore(data_folder)).manifest.content_hash,
        versions={},
        attrs={},
        proposed_at=0.0,
    )
    worker.store.put_new(layout.trial("s", "t00000", "spec.json"), spec.to_json())
    return spec


def run(worker: Worker, job: Job) -> list[Progress]:
    return list(run_job(worker, job))


@pytest.mark.usefixtures("sealed")
def test_a_pretrain_then_its_trial_are_all_in_the_store_when_they_are_done(worker: Worker) -> None:
    config = layout.pretrain(KEY, "config.json")
    worker.store.put_new(config, b"{}")  # of another study, whose later phase differs
    pretrain, trial = run(worker, PRETRAIN)[-1], run(worker, TRIAL)[-1]
    assert (pretrain.is_done, pretrain.failure, pretrain.attempt) == (True, "", 1)
    assert (trial.is_done, trial.failure, trial.attempt) == (True, "", 1)
    assert shared_export(worker.store, "pretrain", KEY) == layout.pretrain(KEY, "checkpoint", "a1")
    assert read_manifest(worker.store, layout.pretrain(KEY, "checkpoint", "a1"))
    assert read_manifest(worker.store, layout.trial("s", "t00000", "best"))
    load = trial.reports[-1].system
    assert 0 <= load["cpu_utilization_percentage"] <= 100
    assert 0 < load["system_memory_usage_percentage"] <= 100
    previews = layout.trial("s", "t00000", "previews")
    names = [f"{previews}/{epoch:06d}.safetensors" for epoch in (0, 1)]
    assert sorted(worker.store.list(f"{previews}/")) == names
    shared = worker.store.get(config)
    assert shared is not None
    assert shared.data == b"{}"


@pytest.mark.usefixtures("sealed")
def test_values_of_single_models_are_kept_where_a_rung_compares_them(worker: Worker) -> None:
    run(worker, PRETRAIN)
    plain = [report for progress in run(worker, TRIAL) for report in progress.reports]
    assert [report.per_model for report in plain] == [(), ()]
    for key in list(worker.store.list(layout.trial("s", "t00000", "checkpoints") + "/")):
        worker.store.delete(key)
    worker.place = replace(worker.place, compared_epochs=(1, 2))
    kept = [report for progress in run(worker, TRIAL) for report in progress.reports]
    assert kept[0].per_model == ()
    mean = sum(kept[1].per_model) / len(kept[1].per_model)
    assert mean == pytest.approx(kept[1].metrics["val/cd_l1"], rel=1e-6)
    assert [report.without_models().metrics for report in kept] == [r.metrics for r in plain]
    stored = worker.store.get(layout.trial("s", "t00000", "epochs", "a2-000001.json"))
    assert stored is not None
    assert read_reports(stored.data) == tuple(kept)
    (control,) = {r.per_model for progress in run(worker, CONTROL) for r in progress.reports}
    assert control == ()


def test_a_control_starts_from_the_pretrained_state_and_sees_no_unlabeled_image(
    worker: Worker, sealed: TrialSpec
) -> None:
    run(worker, PRETRAIN)
    done = run(worker, CONTROL)
    assert (done[-1].is_done, done[-1].failure) == (True, "")
    start, end = (report for progress in done for report in progress.reports)
    record = load_shared_record(worker.store, "control", CONTROL.key)
    assert record is not None
    assert (record.complete, record.config) == (True, sealed.config.control())
    assert [report.digest for report in record.reports] == [start.digest, end.digest]
    assert "train/loss_unsup" not in end.metrics
    trial = [report for progress in run(worker, TRIAL) for report in progress.reports]
    assert trial[0].digest == start.digest
    assert trial[1].digest != end.digest
    assert read_manifest(worker.store, shared_export(worker.store, "control", CONTROL.key))


@pytest.mark.parametrize("job", [PRETRAIN, TRIAL])
def test_the_log_of_a_failure_is_in_the_store_before_the_failure_is_told(
    worker: Worker, job: Job
) -> None:
    told = next(run_job(worker, job))
    assert (told.is_done, told.attempt) == (True, 1)
    assert told.failure == "studies/s/trials/t00000/spec.json is not in the store"
    folder = "studies/s/trials/t00000" if job is TRIAL else f"pretrains/ab/{KEY}"
    log = worker.store.get(f"{folder}/log/a1.txt")
    assert log is not None
    assert CheckpointError.__name__ in log.data.decode()


def test_only_what_anybody_would_see_again_is_remembered_of_a_key(
    worker: Worker, sealed: TrialSpec
) -> None:
    config = sealed.config.override({"pretrain.lr": 1e30})
    for number, changes in enumerate(({"config": config}, {"data_hash": "0" * 64}), start=1):
        spec = sealed.model_copy(update={"trial": f"t{number:05d}", **changes})
        worker.store.put_new(layout.trial("s", spec.trial, "spec.json"), spec.to_json())
    other = Job("pretrain", "t00002", "ef" * 32)
    assert "the study was made with" in run(worker, other)[-1].failure
    assert why_failed(worker.store, "pretrain", other.key) == ""
    told = run(worker, Job("pretrain", "t00001", KEY))[-1].failure
    assert "finite" in told
    assert why_failed(worker.store, "pretrain", KEY) == told


def test_two_producers_of_a_key_never_mix_their_files(worker: Worker, sealed: TrialSpec) -> None:
    assert sealed.pretrain_key == KEY
    first = run_job(worker, PRETRAIN)
    next(first)
    assert run(worker, PRETRAIN)[-1].attempt == 2
    store, manifest = worker.store, layout.pretrain(KEY, "manifest.json")
    before = store.get(manifest)
    worker.store = Early(Path(worker.place.store))
    assert list(first)[-1].failure == ""
    worker.store = store
    assert store.get(manifest) == before
    assert read_manifest(store, layout.pretrain(KEY, "checkpoint", "a1"))  # but nobody reads it
    assert shared_export(worker.store, "pretrain", KEY) == layout.pretrain(KEY, "checkpoint", "a2")
    record = load_shared_record(worker.store, "pretrain", KEY)
    assert record is not None
    epochs = worker.store.get(layout.pretrain(KEY, "epochs", "a2.json"))
    assert epochs is not None
    assert record.reports == read_reports(epochs.data)
    assert run(worker, TRIAL)[-1].failure == ""


@pytest.mark.usefixtures("sealed")
def test_a_full_spool_pauses_training_and_fails_no_epoch(worker: Worker) -> None:
    undisturbed = run(worker, PRETRAIN)
    place = replace(worker.place, spool_bytes=1, cache_dir=f"{worker.place.cache_dir}-2")
    paused, away = Worker(place), Away(Path(place.store))
    paused.uploader.close(5)
    paused.uploader = Uploader(paused.spool, away)
    going, told = run_job(paused, Job("pretrain", "t00000", "ef" * 32)), list[Progress]()
    told.append(next(going))  # nothing is uploaded, but there was room
    before = waiting_in(paused.spool.root)
    assert before.num_bytes > 1
    thread = threading.Thread(target=lambda: told.extend(going))
    thread.start()
    thread.join(1)
    assert thread.is_alive()
    assert len(told) == 1
    assert waiting_in(paused.spool.root) == before
    away.is_back.set()
    thread.join(60)
    paused.uploader.close(5)
    assert told[-1].is_done
    assert waiting_in(paused.spool.root).num_bytes == 0
    assert [digests(progress) for progress in told] == [digests(p) for p in undisturbed]


def digests(progress: Progress) -> list[str]:
    return [report.digest for report in progress.reports]


@pytest.mark.usefixtures("sealed")
def test_what_is_known_is_told_before_more_is_trained(worker: Worker) -> None:
    """A decision that was lost with the driver is made before the epochs that it may spare."""
    run(worker, PRETRAIN)
    begun = run_job(worker, TRIAL)
    first = next(begun)
    worker.uploader.flush(f"s.{TRIAL.name}")
    begun.close()
    again = run_job(worker, TRIAL)
    told = next(again)
    assert (told.attempt, told.reports, told.is_done) == (2, first.reports, False)
    (done,) = again
    assert (done.is_done, [report.epoch for report in done.reports]) == (True, [1])


@pytest.mark.usefixtures("sealed")
def test_a_disk_that_fails_is_not_the_job_s_own_failure(worker: Worker) -> None:
    going = run_job(worker, PRETRAIN)
    next(going)
    worker.uploader.flush(f"s.{PRETRAIN.name}")
    shutil.rmtree(worker.spool.root / "new")
    (worker.spool.root / "new").write_text("no folder any more")
    with pytest.raises(NotADirectoryError):
        next(going)


def test_an_attempt_whose_record_was_answered_late_is_one_attempt(worker: Worker) -> None:
    worker.store = Forgetful(Path(worker.place.store))
    assert run(worker, TRIAL)[-1].attempt == 1
    assert run(worker, TRIAL)[-1].attempt == 2
    attempts = layout.trial("s", "t00000", "attempts")
    assert list(worker.store.list(f"{attempts}/")) == [f"{attempts}/a1.json", f"{attempts}/a2.json"]


def test_a_failed_trial_shows_the_log_of_the_pretraining_it_waited_for(
    worker: Worker, sealed: TrialSpec
) -> None:
    other = sealed.model_copy(update={"trial": "t00001", "data_hash": "0" * 64})
    worker.store.put_new("studies/s/study.json", b"{}")
    worker.store.put_new(layout.trial("s", "t00001", "spec.json"), other.to_json())
    told = run(worker, Job("pretrain", "t00001", KEY))[-1]
    assert "the study was made with" in told.failure
    result = TrialResult(
        study="s",
        trial="t00001",
        state="failed",
        values={},
        reports=(),
        seconds=0.0,
        attempt=1,
        reason=f"its pretraining failed: {told.failure}",
        finished_at=0.0,
    )
    worker.store.put_new(layout.trial("s", "t00001", "result.json"), result.to_json())
    logs = {trial: show_log(worker, trial) for trial in ("t00000", "t00001")}
    assert logs["t00000"] == {}  # it did not fail
    assert list(logs["t00001"]) == ["pretrain/a1.txt"]
    assert "DataError" in logs["t00001"]["pretrain/a1.txt"]


def show_log(worker: Worker, trial: str) -> dict[str, str]:
    shown = CliRunner().invoke(app, ["show", f"s/{trial}", "--store", worker.place.store, "--json"])
    assert shown.exit_code == 0, shown.output
    return json.loads(shown.stdout)["log"]
