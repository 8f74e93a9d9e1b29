"""MLflow runs as idempotent targets: only what a run lacks is written.

What a run holds is asked once and then remembered, so writing a record again costs no request.
`train/step` is the last point of every epoch and tells after a crash how far a run came.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ss3d.trial.records import EpochReport

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

MARKER = "train/step"
FILES_TAG = "ss3d.files"
_LONGEST_VALUE = 5000


class RunWriter:
    """One run and what it is known to hold.

    Args:
        client: of the tracking store.
        run: as the tracking store holds it now.
        written: counts what is written: `epochs`, `files`.
    """

    def __init__(self, client: MlflowClient, run: Run, written: Counter[str]) -> None:
        self.run_id: str = run.info.run_id
        self.page = (
            f"#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
            "?workflowType=machine_learning"
        )
        """Its address within MLflow's pages."""
        self.started_at: float = run.info.start_time / 1000
        self._client = client
        self._written = written
        self._name = run.info.run_name
        self._status = run.info.status
        self._tags = dict(run.data.tags)
        self._params = set(run.data.params)
        self._has_dataset = bool(run.inputs and run.inputs.dataset_inputs)
        self._last_epoch = self._logged_epoch(run)

    def write_name(self, name: str) -> None:
        """Rename the run if it has another name."""
        if name != self._name:
            self._client.update_run(self.run_id, name=name)
            self._name = name

    def write(
        self,
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        reports: Sequence[EpochReport] = (),
    ) -> None:
        """Log what the run lacks of these, in one request unless it is beyond MLflow's limits.

        Parameters are written once: in MLflow they never change. Times of points are the run's
        start plus the epochs' durations, so that an epoch written twice gives the same points.

        Args:
            params: as text.
            tags: those that are missing or differ are set.
            reports: of one phase, in order, from its first epoch on.
        """
        from mlflow.entities import Param, RunTag

        new_params = {k: v[:_LONGEST_VALUE] for k, v in (params or {}).items()}
        new_params = {k: v for k, v in new_params.items() if k not in self._params}
        new_tags = {k: v[:_LONGEST_VALUE] for k, v in (tags or {}).items()}
        new_tags = {k: v for k, v in new_tags.items() if self._tags.get(k) != v}
        new = [report for report in reports if report.epoch > self._last_epoch]
        self._client.log_batch(
            self.run_id,
            metrics=self._points(reports),
            params=[Param(*item) for item in new_params.items()],
            tags=[RunTag(*item) for item in new_tags.items()],
        )
        self._params.update(new_params)
        self._tags.update(new_tags)
        self._written["epochs"] += len(new)
        self._last_epoch = new[-1].epoch if new else self._last_epoch

    def write_dataset(self, name: str, digest: str) -> None:
        """Name the data set that the run read, unless it names one."""
        from mlflow.entities import Dataset, DatasetInput

        if not self._has_dataset:
            dataset = Dataset(name, digest[:12], source_type="ss3d", source=f'"{digest}"')
            self._client.log_inputs(self.run_id, [DatasetInput(dataset)])
            self._has_dataset = True

    def write_files(
        self, directory: Path, version: str, tags: Mapping[str, str] | None = None
    ) -> None:
        """Upload a directory's files; the tag that says so comes last, with others if given."""
        self._client.log_artifacts(self.run_id, str(directory))
        self.write(tags={**(tags or {}), FILES_TAG: version})
        self._written["files"] += sum(path.is_file() for path in directory.rglob("*"))

    def has_files(self, version: str) -> bool:
        """Return whether this version of the files was uploaded completely."""
        return self._tags.get(FILES_TAG) == version

    def write_status(self, status: str, ended_at: float | None = None) -> None:
        """Set the run's status; nothing happens if it has it."""
        if status == self._status:
            return
        if status == "RUNNING":
            self._client.update_run(self.run_id, status=status)
        else:
            ended_ms = None if ended_at is None else int(ended_at * 1000)
            self._client.set_terminated(self.run_id, status, ended_ms)
        self._status = status

    def _points(self, reports: Sequence[EpochReport]) -> list[Metric]:
        """Return the points of the epochs after the last one that the run has."""
        points: list[Metric] = []
        seconds = self.started_at
        for report in reports:
            seconds += report.system.get("epoch_s", 0.0)
            if report.epoch > self._last_epoch:
                points += points_of(report, int(seconds * 1000))
        return points

    def _logged_epoch(self, run: Run) -> int:
        """Return the last epoch that the run holds, -1 if it holds none."""
        if MARKER not in run.data.metrics:
            return -1
        return max(point.step for point in self._client.get_metric_history(self.run_id, MARKER))


def not_finite(reports: Sequence[EpochReport]) -> str:
    """Return which metrics were NaN or infinite and when; empty if none was."""
    epochs: dict[str, list[str]] = {}
    for report in reports:
        for name, value in report.metrics.items():
            if not math.isfinite(value):
                epochs.setdefault(name, []).append(str(report.epoch))
    return "; ".join(f"{name} in epoch {', '.join(at)}" for name, at in sorted(epochs.items()))


def points_of(report: EpochReport, milliseconds: int) -> list[Metric]:
    """Return an epoch's finite values; MLflow would make numbers of NaN and infinities.

    Args:
        report: of the epoch.
        milliseconds: when it ended, since 1970.
    """
    from mlflow.entities import Metric

    values = {
        **report.metrics,
        **{f"system/{name}": value for name, value in report.system.items()},
        MARKER: float(report.step),  # the last, should MLflow's limits split an epoch
    }
    return [
        Metric(name, value, milliseconds, report.epoch)
        for name, value in values.items()
        if math.isfinite(value)
    ]
