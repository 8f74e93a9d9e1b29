"""What an attempt hands over to its node's uploader: epochs, log, preview and what it made."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError

from ss3d.config import canonical_json
from ss3d.data.loader import TrialData
from ss3d.errors import ServiceError
from ss3d.store import layout
from ss3d.study.job import Job, Place
from ss3d.study.spool import Entry, Kind
from ss3d.study.worker import Worker
from ss3d.trial.checkpoint import save_state
from ss3d.trial.export import export_best, export_preview
from ss3d.trial.records import SCHEMA
from ss3d.trial.state import TrialState


class Handover:
    """Puts the files of one attempt into the spool, each under its key in the store.

    Args:
        worker: has spool and uploader.
        job: whose files they are.
        number: of the attempt.
    """

    def __init__(self, worker: Worker, job: Job, number: int) -> None:
        self._spool, self._uploader = worker.spool, worker.uploader
        self._study, self._job, self._number = worker.place.study, job, number
        self._name = spool_name(worker.place, job)

    def flush(self) -> None:
        """Wait until all of the job is in the store, however long the store is away.

        Raises:
            CheckpointError: the store refused something of it.
            ServiceError: this process cannot upload any more: disk full, or a bug.
        """
        self._uploader.flush(self._name)

    def forget_refused(self) -> None:
        """Let what the store refused of the job stand in no one's way any more."""
        self._spool.forget_refused(self._name)

    def log(self, text: str) -> None:
        """Hand over the log so far; it replaces what is in the store of it."""
        files, name = self._spool.folder(), layout.attempt_log(self._number)
        (files / name).write_text(text, encoding="utf-8")
        self._submit(files, "log", "log", name)

    def epoch(self, state: TrialState) -> None:
        """Hand over a checkpoint and the reports so far; waits while the spool is full."""
        self._uploader.make_room(self._name)
        files = self._spool.folder()
        save_state(state, files)
        name = layout.epoch_name(self._number, state.epoch)
        self._submit(files, "checkpoint", "checkpoints", name)
        if self._job.kind == "trial":
            self._reports(state, "epochs", f"{name}.json", is_final=False)

    def preview(self, state: TrialState, data: TrialData) -> None:
        """Hand over what the student makes of a few objects, for pictures.

        Raises:
            ServiceError: the disk does not take it.
        """
        name = f"{state.epoch:06d}.safetensors"
        files = self._spool.folder()
        try:
            export_preview(state, data, files / name)
        except SafetensorError as error:
            raise ServiceError(f"cannot write {files}: {error}") from error
        self._submit(files, "file", "previews", name)

    def end(self, state: TrialState, data: TrialData) -> None:
        """Hand over the best weights, then the reports, then what says that all is there.

        Raises:
            ServiceError: the disk does not take them.
        """
        self._uploader.make_room(self._name)
        files = self._spool.folder()
        try:
            export_best(state, data, files)
        except SafetensorError as error:
            raise ServiceError(f"cannot write {files}: {error}") from error
        if self._job.kind == "trial":
            self._submit(files, "bundle", "best", f"a{self._number}")
            name = layout.epoch_name(self._number, state.epoch)
            self._reports(state, "epochs", f"{name}.json", is_final=True)
            return
        own = {
            "checkpoint": f"checkpoint/a{self._number}",
            "epochs": f"epochs/a{self._number}.json",
        }
        self._submit(files, "bundle", *own["checkpoint"].split("/"))
        self._reports(state, *own["epochs"].split("/"), is_final=True)
        self._json({"schema": SCHEMA, "key": self._job.key, **own}, "manifest.json")

    def failure(self, reason: str) -> None:
        """Say that a shared key cannot be made, so that nobody tries it again."""
        self._json({"schema": SCHEMA, "attempt": self._number, "reason": reason}, "failed.json")

    def _reports(self, state: TrialState, *rest: str, is_final: bool) -> None:
        reports = [report.model_dump(mode="json") for report in state.reports]
        tree: dict[str, object] = {
            "schema": SCHEMA,
            "attempt": self._number,
            "reports": reports,
            "final": is_final,
        }
        self._json(tree, *rest)

    def _json(self, tree: dict[str, object], *rest: str) -> None:
        files = self._spool.folder()
        (files / rest[-1]).write_text(canonical_json(tree))
        self._submit(files, "file", *rest)

    def _submit(self, files: Path, kind: Kind, *rest: str) -> None:
        key = job_key(self._study, self._job, *rest)
        self._spool.submit(files, Entry(self._name, kind, key))


def spool_name(place: Place, job: Job) -> str:
    """Return a job's name among all jobs that this node ever had for the store."""
    return f"{place.study}.{job.name}"


def job_key(study: str, job: Job, *rest: str) -> str:
    """Return a key of what a job writes."""
    if job.kind == "trial":
        return layout.trial(study, job.trial, *rest)
    return layout.shared(job.kind, job.key, *rest)
