"""Attempts at jobs in this process: no Ray."""

from __future__ import annotations

import json
import logging
import resource
import threading
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from typer.testing import CliRunner

from ss3d.cli.main import app
from ss3d.config import TrialConfig
from ss3d.data.dataset import open_dataset
from ss3d.errors import CheckpointError, ServiceError
from ss3d.store import layout
from ss3d.store.bundle import read_manifest
from ss3d.store.directory import DirectoryStore
from ss3d.store.protocol import Blob, Store
from ss3d.study.attempt import run_job
from ss3d.study.job import Job, Place, Progress
from ss3d.study.spool import waiting_in
from ss3d.study.uploader import Uploader
from ss3d.study.worker import Worker
from ss3d.trial.history import (
    load_shared_record,
    read_reports,
    shared_export,
    trial_export,
    why_failed,
)
from ss3d.trial.log import Line, read_lines, tracebacks
from ss3d.trial.memory import why_out_of_memory
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
    place = Place("s", str(tmp_path / "store"), str(data_folder), str(tmp_path / "cache"), gpus=0)
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
    assert read_manifest(worker.store, layout.export("s", "t00000", 1))
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
def test_an_attempt_that_was_given_up_and_ends_later_touches_no_file_of_the_other(
    worker: Worker, tmp_path: Path
) -> None:
    run(worker, PRETRAIN)
    late = run_job(worker, TRIAL)
    next(late)  # its node is cut off now
    other = Worker(replace(worker.place, cache_dir=str(tmp_path / "other")))
    end = run(other, TRIAL)[-1]
    other.uploader.close(5)
    assert (end.attempt, end.is_done) == (2, True)
    put_result(worker.store, end)
    export = trial_export(worker.store, "s", "t00000")
    assert export == layout.export("s", "t00000", 2)
    checkpoints = layout.trial("s", "t00000", "checkpoints")
    before = {path: path.stat().st_mtime_ns for path in files_of(worker.store, export, checkpoints)}
    assert [progress.is_done for progress in late] == [True]
    assert read_manifest(worker.store, layout.export("s", "t00000", 1))
    assert trial_export(worker.store, "s", "t00000") == export
    after = {path: path.stat().st_mtime_ns for path in before}
    assert after == before


def put_result(store: Store, end: Progress) -> None:
    """Write a result as the driver does at a trial's end."""
    result = TrialResult(
        study="s",
        trial="t00000",
        state="complete",
        values={},
        reports=end.reports,
        seconds=0.0,
        attempt=end.attempt,
        reason="",
        finished_at=0.0,
    )
    store.put_new(layout.trial("s", "t00000", "result.json"), result.to_json())


def files_of(store: Store, *prefixes: str) -> list[Path]:
    return [Path(store.address) / key for prefix in prefixes for key in store.list(f"{prefix}/")]


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
    (where,) = tracebacks(worker.store, folder).values()
    assert CheckpointError.__name__ in where


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
    new = worker.spool.root / "new"
    new.rename(new.with_name("old"))  # at once: the uploader may still remove things in it
    new.write_text("no folder any more")
    with pytest.raises(NotADirectoryError):
        next(going)


def test_out_of_memory_is_the_job_s_own_end_and_its_worker_goes_on(
    worker: Worker, sealed: TrialSpec
) -> None:
    config = sealed.config.override({"pretrain.batch_size": 4096})
    large = sealed.model_copy(update={"trial": "t00001", "config": config})
    worker.store.put_new(layout.trial("s", "t00001", "spec.json"), large.to_json())
    worker.data(large)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    enough = psutil.Process().memory_info().vms + 32 * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (enough, limits[1]))
    try:
        (told,) = run_job(worker, Job("pretrain", "t00001", KEY))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
    assert told.failure.startswith("out of memory: ")
    assert (told.is_done, told.is_too_large) == (True, True)
    assert Progress.from_json(told.to_json()) == told
    assert why_failed(worker.store, "pretrain", KEY) == ""  # a larger machine may make it
    (*_, done) = run_job(worker, PRETRAIN)
    assert (done.is_done, done.failure) == (True, "")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_s_memory_that_runs_out_is_out_of_memory() -> None:
    with pytest.raises(torch.OutOfMemoryError) as raised:
        torch.empty(2**45, dtype=torch.uint8, device="cuda")
    assert why_out_of_memory(raised.value).startswith("out of memory: CUDA out of memory.")


@pytest.mark.usefixtures("sealed")
def test_a_job_whose_workers_were_killed_ends_with_its_next_attempt(worker: Worker) -> None:
    (told,) = run_job(worker, replace(PRETRAIN, killed="by the kernel"))
    assert (told.failure, told.is_too_large) == ("by the kernel", True)


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
    assert list(logs["t00001"]) == ["pretrain/a1"]
    assert "DataError" in logs["t00001"]["pretrain/a1"]


def show_log(worker: Worker, trial: str) -> dict[str, str]:
    shown = CliRunner().invoke(app, ["show", f"s/{trial}", "--store", worker.place.store, "--json"])
    assert shown.exit_code == 0, shown.output
    return json.loads(shown.stdout)["log"]


def log_of(worker: Worker, folder: str, attempt: int = 1) -> list[Line]:
    return read_lines(worker.store, f"{folder}/log/{layout.attempt_log(attempt)}")


@pytest.mark.usefixtures("sealed")
def test_an_attempt_tells_how_it_went(worker: Worker) -> None:
    run(worker, PRETRAIN)
    reports = [report for progress in run(worker, TRIAL) for report in progress.reports]
    begun, start, *epochs, end = log_of(worker, layout.trial("s", "t00000"))
    assert begun["machine"]["host"] in begun["message"]
    assert "torch" in begun["versions"]
    assert start["message"] == f"starts with the pretrained state {KEY[:12]}"
    assert [line["val/cd_l1"] for line in epochs] == [r.metrics["val/cd_l1"] for r in reports]
    assert end["message"].startswith("complete")
    for line in (begun, start, *epochs, end):
        assert (line["study"], line["trial"], line["attempt"]) == ("s", "t00000", 1)
        assert (line["level"], "pretrain" in line) == ("info", False)
    shared = log_of(worker, layout.pretrain(KEY))
    assert {(line["trial"], line["pretrain"]) for line in shared} == {("t00000", KEY[:12])}
    assert [line["phase"] for line in shared if "phase" in line] == ["pretrain"] * 2


@pytest.mark.usefixtures("sealed")
def test_an_attempt_that_is_stopped_or_goes_on_says_so(worker: Worker) -> None:
    run(worker, PRETRAIN)
    begun = run_job(worker, TRIAL)
    next(begun)
    begun.close()
    worker.uploader.flush(f"s.{TRIAL.name}")
    run(worker, TRIAL)
    folder = layout.trial("s", "t00000")
    assert log_of(worker, folder)[-1]["message"].startswith("ends: the driver")
    assert log_of(worker, folder, 2)[1]["message"] == "goes on from checkpoint a1-000000"
    assert tracebacks(worker.store, folder) == {}


@pytest.mark.usefixtures("sealed")
def test_warnings_are_in_the_log_and_secrets_are_not(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY_TOKEN", 'a "quoted" secret')
    run(worker, PRETRAIN)
    going = run_job(worker, TRIAL)
    next(going)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn('http://me:pass-word@host/ a "quoted" secret', UserWarning, stacklevel=1)
    logging.getLogger("somewhere").warning("slow")
    list(going)
    told = [line for line in log_of(worker, layout.trial("s", "t00000")) if line["level"] != "info"]
    assert told[0]["message"].splitlines()[0].endswith("UserWarning: http://***@host/ ***")
    assert [line["message"] for line in told[1:]] == ["slow"]
