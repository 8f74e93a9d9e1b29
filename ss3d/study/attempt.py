"""What a worker does with a job: an attempt that goes on from the newest checkpoint.

Knows the store and the trial, but not Ray.
"""

from __future__ import annotations

import logging
import os
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from ss3d.config import TrialConfig, canonical_json
from ss3d.data.loader import TrialData
from ss3d.errors import (
    CheckpointError,
    ConfigError,
    ConflictError,
    DivergedError,
    OutcomeError,
    ServiceError,
    Ss3dError,
)
from ss3d.store import layout
from ss3d.store.bundle import checkpoints, get_bundle
from ss3d.study.job import Job, Place, Progress
from ss3d.study.log_lines import LogLines
from ss3d.study.patience import patiently
from ss3d.study.spool import Entry, Kind
from ss3d.study.worker import Worker
from ss3d.trial.checkpoint import load_state, save_state
from ss3d.trial.export import export_best, export_preview, preview_epochs
from ss3d.trial.history import shared_export
from ss3d.trial.memory import why_out_of_memory
from ss3d.trial.records import SCHEMA, EpochReport, TrialSpec
from ss3d.trial.run import run_trial
from ss3d.trial.spec import machine, versions
from ss3d.trial.state import TrialState, new_state, pretrained_state
from ss3d.trial.weights import cached_weights

_BY_ITS_KEY = (ConfigError, DivergedError)
"""Failures of a shared job that whoever trains the key again would see again."""
_LOGGED = ("train/loss", "val/cd_l1", "val/cd_l1_teacher")
"""Metrics that an epoch's line in the log has."""

log = logging.getLogger(__name__)


def run_job(worker: Worker, job: Job) -> Iterator[Progress]:
    """Train a job epoch by epoch; the last progress is done.

    A failure of the job itself is a progress too: nothing is raised for it.

    Raises:
        ServiceError: store or disk are away: not the job's own failure, so it can be tried again.
        OSError: the same.
    """
    about = {"study": worker.place.study, "trial": job.trial}
    lines = LogLines(about if job.kind == "trial" else about | {job.kind: job.key[:12]})
    number = 0
    with lines.listening():
        try:
            number = _begin(worker, job, lines)
            if job.killed:
                raise OutcomeError(job.killed)
            yield from Attempt(worker, job, number, lines).run()
        except GeneratorExit as error:
            Attempt(worker, job, number, lines).leave(error)
            raise
        except Exception as error:  # whatever it is, it is the job's end and told
            attempt, lacking = Attempt(worker, job, number, lines), why_out_of_memory(error)
            if isinstance(error, (ServiceError, OSError)) and not lacking:
                attempt.leave(error)
                raise
            reason = lacking or (str(error) if isinstance(error, Ss3dError) else repr(error))
            attempt.keep_traceback(reason)
            if job.kind != "trial" and isinstance(error, _BY_ITS_KEY):
                attempt.keep_failure(reason)
            is_too_large = bool(lacking or job.killed)
            yield Progress(number, (), is_done=True, failure=reason, is_too_large=is_too_large)


def _begin(worker: Worker, job: Job, lines: LogLines) -> int:
    """Record where and with what an attempt runs; return its number."""
    folder = job_key(worker.place.study, job, "attempts")
    met = {"machine": machine(), "versions": versions()}
    facts = {"schema": SCHEMA, "study": worker.place.study, "process": os.getpid(), **met}
    data = canonical_json(facts | {"started_at": time.time()}).encode()

    def put() -> int:
        keys = list(worker.store.list(f"{folder}/"))
        for key in keys:
            blob = worker.store.get(key)
            if blob is not None and blob.data == data:
                return layout.attempt_and_epoch(key)[0]  # its answer was lost
        number = 1 + max((layout.attempt_and_epoch(key)[0] for key in keys), default=0)
        worker.store.put_new(f"{folder}/a{number}.json", data)
        return number

    while True:
        try:
            number = patiently(put)
        except ConflictError:
            continue  # the worker of a lost node wrote at the same moment
        lines.add(attempt=number)
        lines.tell(f"begins on {met['machine']['host']}", **met)
        return number


@dataclass(frozen=True)
class Attempt:
    """One attempt at one job."""

    worker: Worker
    job: Job
    number: int
    lines: LogLines
    """Its log."""

    def run(self) -> Iterator[Progress]:
        """Continue from the newest checkpoint, if there is one."""
        worker = self.worker
        spec = patiently(self._spec)
        worker.spool.forget_refused(self._name)
        worker.uploader.flush(self._name)
        self._submit_log()
        data = worker.data(spec)
        state = patiently(self._newest_state) or self._first_state(spec)
        new: list[EpochReport] = list(state.reports)
        if new and not self._is_over(state):
            yield Progress(self.number, tuple(new))  # judged before anything more is trained
            new.clear()
        for report in self._epochs(state, data):
            new.append(report)
            self._tell(report)
            if not self._is_over(state):
                self._submit_epoch(state)
                yield Progress(self.number, tuple(new))
                new.clear()
        self._submit_end(state, data)
        self.lines.tell("complete: all that it made is handed over")
        self._submit_log()
        worker.uploader.flush(self._name)
        yield Progress(self.number, tuple(new), is_done=True)

    def leave(self, error: BaseException) -> None:
        """Say in the log why the attempt ends before the job does; nothing is waited for."""
        if isinstance(error, GeneratorExit):
            self.lines.tell("ends: the driver wants no more of it")
        else:
            self.lines.tell(f"ends, to be tried again: {error}", "warning")
        with suppress(OSError):  # of the disk that it ended by
            self._submit_log()

    def keep_traceback(self, reason: str) -> None:
        """Say in the log why and where the job failed, and wait until that is in the store."""
        self.worker.spool.forget_refused(self._name)
        where = traceback.format_exc()
        self.lines.tell(f"failed: {reason}", "error", failure=reason, traceback=where)
        self._submit_log()
        try:
            self.worker.uploader.flush(self._name)
        except CheckpointError as error:
            log.warning("%s: no log in the store: %s", self.job.name, error)

    def keep_failure(self, reason: str) -> None:
        """Say that a shared key cannot be made, so that nobody tries it again."""
        self._submit_json(
            {"schema": SCHEMA, "attempt": self.number, "reason": reason}, "failed.json"
        )
        self.worker.uploader.flush(self._name)

    def _epochs(self, state: TrialState, data: TrialData) -> Iterator[EpochReport]:
        if self._is_over(state):
            return
        for report in run_trial(state, data):
            self._submit_preview(state, data)
            yield self._keep_what_is_compared(state, report)
            if self._is_over(state):
                return

    def _keep_what_is_compared(self, state: TrialState, report: EpochReport) -> EpochReport:
        """Drop the values of single models, here and in the state, where no rung compares them."""
        if self.job.kind != "trial" or report.epoch not in self.worker.place.compared_epochs:
            state.reports[-1] = report = report.without_models()
        return report

    def _is_over(self, state: TrialState) -> bool:
        return state.pretrained if self.job.kind == "pretrain" else state.finished

    @property
    def _name(self) -> str:
        return spool_name(self.worker.place, self.job)

    def _key(self, *rest: str) -> str:
        return job_key(self.worker.place.study, self.job, *rest)

    def _spec(self) -> TrialSpec:
        key = layout.trial(self.worker.place.study, self.job.trial, "spec.json")
        blob = self.worker.store.get(key)
        if blob is None:
            raise CheckpointError(f"{key} is not in the store")
        return TrialSpec.from_json(blob.data)

    def _newest_state(self) -> TrialState | None:
        """Return the state of the newest checkpoint that is not damaged."""
        for prefix in reversed(checkpoints(self.worker.store, self._key("checkpoints"))):
            try:
                state = self._load(prefix, lambda path: load_state(path, self.worker.device))
                name = prefix.rpartition("/")[2]
                self.lines.tell(f"goes on from checkpoint {name}", checkpoint=name)
                return state
            except CheckpointError as error:
                log.warning("%s: %s; going on from an older one", self.job.name, error)
        return None

    def _first_state(self, spec: TrialSpec) -> TrialState:
        worker, config = self.worker, spec.config
        if self.job.kind == "control":
            config = config.control()
        if self.job.kind != "trial":
            patiently(lambda: self._put_config(config))
        if self.job.kind != "pretrain":
            return patiently(lambda: self._pretrained_state(spec.pretrain_key, config))
        sha256 = config.model.weights
        weights = cached_weights(worker.store, sha256, worker.cache_dir) if sha256 else None
        self.lines.tell("starts with a new network")
        return new_state(config, weights, worker.device)

    def _pretrained_state(self, key: str, config: TrialConfig) -> TrialState:
        prefix = shared_export(self.worker.store, "pretrain", key)
        self.lines.tell(f"starts with the pretrained state {key[:12]}")
        return self._load(prefix, lambda path: pretrained_state(config, path, self.worker.device))

    def _put_config(self, config: TrialConfig) -> None:
        """Say what is trained; another trial of the key, whose later phase differs, may have."""
        data = canonical_json(config.model_dump(mode="json")).encode()
        with suppress(ConflictError):
            self.worker.store.put_new(self._key("config.json"), data)

    def _load(self, prefix: str, read: Callable[[Path], TrialState]) -> TrialState:
        with self.worker.scratch() as folder:
            get_bundle(self.worker.store, prefix, Path(folder) / "bundle")
            return read(Path(folder) / "bundle")

    def _submit_preview(self, state: TrialState, data: TrialData) -> None:
        """Hand over what the student makes of a few objects, at a few epochs, for pictures."""
        if self.job.kind != "trial" or state.epoch not in preview_epochs(state.config.semi.epochs):
            return
        name = f"{state.epoch:06d}.safetensors"
        files = self.worker.spool.folder()
        try:
            export_preview(state, data, files / name)
        except SafetensorError as error:
            raise ServiceError(f"cannot write {files}: {error}") from error
        self._submit(files, "file", "previews", name)

    def _submit_epoch(self, state: TrialState) -> None:
        """Hand over a checkpoint and the reports so far."""
        self.worker.uploader.make_room(self._name)
        files = self.worker.spool.folder()
        save_state(state, files)
        name = layout.epoch_name(self.number, state.epoch)
        self._submit(files, "checkpoint", "checkpoints", name)
        if self.job.kind == "trial":
            self._submit_reports(state, "epochs", f"{name}.json", is_final=False)
        self._submit_log()

    def _tell(self, report: EpochReport) -> None:
        """Say in the log how an epoch went."""
        value, seconds = report.metrics["val/cd_l1"], report.system["epoch_s"]
        facts: dict[str, Any] = {"phase": report.phase, "epoch": report.epoch, "epoch_s": seconds}
        facts |= {name: report.metrics[name] for name in _LOGGED if name in report.metrics}
        told = f"{report.phase} epoch {report.epoch}: val/cd_l1 {value:.4f}, {seconds:.1f} s"
        self.lines.tell(told, **facts)

    def _submit_log(self) -> None:
        """Hand over the log so far; it replaces what is in the store of it."""
        files, name = self.worker.spool.folder(), layout.attempt_log(self.number)
        (files / name).write_text(self.lines.text(), encoding="utf-8")
        self._submit(files, "log", "log", name)

    def _submit_end(self, state: TrialState, data: TrialData) -> None:
        """Hand over the best weights, then the reports, then what says that all is there."""
        store, manifest = self.worker.store, self._key("manifest.json")
        if self.job.kind != "trial" and patiently(lambda: store.get(manifest)):
            return  # another study made the same state meanwhile: its trials read that one
        self.worker.uploader.make_room(self._name)
        files = self.worker.spool.folder()
        try:
            export_best(state, data, files)
        except SafetensorError as error:
            raise ServiceError(f"cannot write {files}: {error}") from error
        if self.job.kind == "trial":
            self._submit(files, "bundle", "best", f"a{self.number}")
            name = layout.epoch_name(self.number, state.epoch)
            self._submit_reports(state, "epochs", f"{name}.json", is_final=True)
            return
        own = {"checkpoint": f"checkpoint/a{self.number}", "epochs": f"epochs/a{self.number}.json"}
        self._submit(files, "bundle", *own["checkpoint"].split("/"))
        self._submit_reports(state, *own["epochs"].split("/"), is_final=True)
        self._submit_json({"schema": SCHEMA, "key": self.job.key, **own}, "manifest.json")

    def _submit_reports(self, state: TrialState, *rest: str, is_final: bool) -> None:
        reports = [report.model_dump(mode="json") for report in state.reports]
        tree: dict[str, object] = {
            "schema": SCHEMA,
            "attempt": self.number,
            "reports": reports,
            "final": is_final,
        }
        self._submit_json(tree, *rest)

    def _submit_json(self, tree: dict[str, object], *rest: str) -> None:
        files = self.worker.spool.folder()
        (files / rest[-1]).write_text(canonical_json(tree))
        self._submit(files, "file", *rest)

    def _submit(self, files: Path, kind: Kind, *rest: str) -> None:
        self.worker.spool.submit(files, Entry(self._name, kind, self._key(*rest)))


def spool_name(place: Place, job: Job) -> str:
    """Return a job's name among all jobs that this node ever had for the store."""
    return f"{place.study}.{job.name}"


def job_key(study: str, job: Job, *rest: str) -> str:
    """Return a key of what a job writes."""
    if job.kind == "trial":
        return layout.trial(study, job.trial, *rest)
    return layout.shared(job.kind, job.key, *rest)
