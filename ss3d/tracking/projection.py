"""From records to MLflow runs: what is written where. Synchronous and idempotent."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ss3d.report.findings import (
    Importances,
    Known,
    findings_version,
    gather_findings,
    no_importances,
)
from ss3d.report.study_page import write_report
from ss3d.settings import Settings
from ss3d.store.layout import SharedKind
from ss3d.store.protocol import Store
from ss3d.tracking import naming
from ss3d.tracking.connection import mlflow_errors, open_client
from ss3d.tracking.epoch_images import IMAGES_TAG, gather_images, list_previews
from ss3d.tracking.run_files import gather_files, list_logs
from ss3d.tracking.run_index import RunIndex
from ss3d.tracking.runs import RunWriter, not_finite
from ss3d.tracking.statuses import Status
from ss3d.trial.records import (
    EpochReport,
    Phase,
    SharedRecord,
    StudyRecord,
    TrialRecord,
    TrialStatus,
)
from ss3d.trial.what_if import WhatIf

STATUS: dict[TrialStatus, Status] = {
    "running": "RUNNING",
    "complete": "FINISHED",
    "pruned": "KILLED",
    "failed": "FAILED",
}
_PHASES: dict[SharedKind, Phase] = {"pretrain": "pretrain", "control": "semi"}


class Projection:
    """Writes studies, trials and pretrains into one MLflow.

    All methods raise ServiceError when MLflow or the store does not answer.

    Args:
        settings: where MLflow is.
        store: where the files of finished trials are.
        importances: which parameters decided, for a study's figures; nothing by default.
    """

    def __init__(
        self, settings: Settings, store: Store, importances: Importances = no_importances
    ) -> None:
        self._settings = settings
        self._store = store
        self._importances = importances
        self._index = RunIndex(open_client(settings), settings)

    @property
    def written(self) -> Counter[str]:
        """Return how many runs, epochs and files were written: zero when nothing was missing."""
        return self._index.written

    def study(self, spec: Mapping[str, Any], trials: Sequence[TrialRecord], status: Status) -> str:
        """Write a study's parent run: counts and leaderboard.

        Args:
            spec: study.json.
            trials: all that are known.
            status: `RUNNING`, `FINISHED`, or `KILLED` when it was interrupted.

        Returns:
            The run's id.
        """
        with mlflow_errors(self._settings):
            run = self._index.study(spec)
            self._index.write_view(spec)
            counts = Counter(trial.state for trial in trials)
            tags = {f"ss3d.num_{state}": str(counts[state]) for state in STATUS}
            note = {naming.NOTE: naming.study_note(spec, trials)}
            run.write(naming.study_params(spec), tags | note)
            ends = [trial.result.finished_at for trial in trials if trial.result]
            run.write_status(status, max(ends, default=None))
            return run.run_id

    def report(self, study: StudyRecord) -> None:
        """Write the study's page and figures beside its parent run, unless it has them already.

        Args:
            study: with all its trials; none of them runs any more.

        Raises:
            CheckpointError: a record of the study itself is damaged.
        """
        with mlflow_errors(self._settings):
            run = self._index.study(study.spec)
            version = findings_version(self._store, study)
            if run.has_files(version):
                return
            with tempfile.TemporaryDirectory(prefix="ss3d-report-") as folder:
                page = Path(folder) / "report.html"
                findings = gather_findings(self._store, study, Known(self._importances(study)))
                write_report(page, findings, Path(folder) / "figures")
                run.write_files(Path(folder), version)

    def find_trials(self, spec: Mapping[str, Any], records: Iterable[TrialRecord]) -> None:
        """Ask for the runs of several trials at once; `trial` would ask for each by itself."""
        with mlflow_errors(self._settings):
            self._index.find_trials(
                spec, {f"{r.spec.study}/{r.spec.trial}": r.spec.proposed_at for r in records}
            )

    def trial(self, spec: Mapping[str, Any], record: TrialRecord) -> str:
        """Write a trial's run as far as the record goes and return the run's id.

        Raises:
            CheckpointError: its best weights are damaged or not in the store yet.
        """
        sealed, result = record.spec, record.result
        with mlflow_errors(self._settings):
            address = f"{sealed.study}/{sealed.trial}"
            name = naming.trial_name(record)
            run = self._index.child(spec, "trial", address, name, sealed.proposed_at)
            run.write_dataset(naming.experiment_name(spec), sealed.data_hash)
            shared = {
                kind: found
                for kind, key in sealed.shared()
                if (found := self._index.find(spec, kind, key))
            }
            run.write(
                naming.config_params(sealed.config),
                naming.trial_tags(record, shared) | _not_finite_tag(record.reports),
                _of_phase(record.reports, "semi"),
            )
            if result is not None:
                run.write_status(STATUS[record.state], result.finished_at)
                self._write_files(run, record)
            return run.run_id

    def shared(self, spec: Mapping[str, Any], record: SharedRecord, status: Status) -> str:
        """Write the run of a shared pretrained state or control and return the run's id."""
        with mlflow_errors(self._settings):
            run = self._index.child(spec, record.kind, record.key, naming.shared_name(record))
            run.write(
                naming.shared_params(record),
                naming.shared_tags(record, status) | _not_finite_tag(record.reports),
                _of_phase(record.reports, _PHASES[record.kind]),
            )
            run.write_status(status, run.started_at + record.seconds)
            return run.run_id

    def what_if(self, spec: Mapping[str, Any], found: WhatIf) -> str:
        """Write the run of a trial with other values and return the run's id."""
        with mlflow_errors(self._settings):
            name = naming.what_if_name(found)
            run = self._index.child(spec, "what-if", found.name, name, found.started_at)
            run.write_dataset(naming.experiment_name(spec), found.data_hash)
            run.write(
                naming.config_params(found.config),
                naming.what_if_tags(found) | _not_finite_tag(found.reports),
                _of_phase(found.reports, "semi"),
            )
            run.write_status("FINISHED", found.finished_at)
            return run.run_id

    def _write_files(self, run: RunWriter, record: TrialRecord) -> None:
        """Upload configuration, logs, weights, pictures and clouds; again when some came late."""
        assert record.result is not None
        logs, previews = list_logs(self._store, record), list_previews(self._store, record)
        counts = {"logs": len(logs), "previews": len(previews)}
        version = " ".join(
            [f"a{record.result.attempt}", *(f"{kind} {n}" for kind, n in counts.items() if n)]
        )
        if run.has_files(version):
            return
        with tempfile.TemporaryDirectory(prefix="ss3d-files-") as folder:
            gather_files(self._store, record, logs, Path(folder))
            if previews:
                gather_images(self._store, record, previews, Path(folder))
            run.write_files(Path(folder), version, IMAGES_TAG if previews else {})


def _of_phase(reports: Iterable[EpochReport], phase: Phase) -> list[EpochReport]:
    return [report for report in reports if report.phase == phase]


def _not_finite_tag(reports: Sequence[EpochReport]) -> dict[str, str]:
    found = not_finite(reports)
    return {"ss3d.not_finite": found} if found else {}
