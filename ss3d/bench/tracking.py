"""Points a second into MLflow: the projector beside MLflow's own clients, on one server."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from mlflow import MlflowClient
from requests.adapters import HTTPAdapter

from ss3d.bench.epochs import default_reports
from ss3d.bench.timing import Spread, spread
from ss3d.errors import ServiceError
from ss3d.settings import Settings
from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.study.synthetic import synthetic_study
from ss3d.tracking.connection import mlflow_errors, open_client
from ss3d.tracking.projection import Projection
from ss3d.tracking.projector import Projector
from ss3d.tracking.runs import MARKER, points_of
from ss3d.trial.records import EpochReport, TrialRecord

SYNCHRONOUS = "log_metric"
ASYNCHRONOUS = "log_metric, asynchronous"
PROJECTOR = "ss3d, projector"
_FEW = 10
"""Clients that send a request per point write this part of the trials, at least one."""


@dataclass(frozen=True)
class Throughput:
    """What one client did with the points of some trials."""

    client: str
    points: int
    """Of one repeat."""
    trials: int
    """Whose points they are."""
    requests: float
    """HTTP requests for them, the median of the repeats."""
    seconds: Spread
    """Until the server had all of them."""

    @property
    def points_per_s(self) -> float:
        """Return the median."""
        return self.points / self.seconds.median


@dataclass(frozen=True)
class Lot:
    """The trials of one measurement and where they are written."""

    settings: Settings
    client: MlflowClient
    experiment: str
    """Id of an experiment of the bench's own."""
    spec: dict[str, Any]
    """study.json."""
    trials: Sequence[TrialRecord]

    def epochs(self) -> Iterator[tuple[str, EpochReport]]:
        """Yield trial and report in the order in which trials that run at once report."""
        for reports in zip(*(trial.reports for trial in self.trials), strict=True):
            for trial, report in zip(self.trials, reports, strict=True):
                yield trial.spec.trial, report

    def make_runs(self) -> dict[str, str]:
        """Make a run per trial, as a user of MLflow's client would; return their ids."""
        tags = {"ss3d.study": self.spec["name"]}
        return {
            trial.spec.trial: self.client.create_run(self.experiment, tags=tags).info.run_id
            for trial in self.trials
        }


def one_by_one(lot: Lot) -> None:
    """Log every point by itself and wait for it."""
    runs = lot.make_runs()
    for trial, report in lot.epochs():
        for p in points_of(report, _now_ms()):
            lot.client.log_metric(runs[trial], p.key, p.value, p.timestamp, p.step)


def asynchronously(lot: Lot) -> None:
    """Log every point by itself, in MLflow's own background queue."""
    runs = lot.make_runs()
    waiting = [
        lot.client.log_metric(runs[trial], p.key, p.value, p.timestamp, p.step, synchronous=False)
        for trial, report in lot.epochs()
        for p in points_of(report, _now_ms())
    ]
    for operations in waiting:
        assert operations is not None
        operations.wait()


def per_epoch(lot: Lot) -> None:
    """Log an epoch at a time, as `mlflow.log_metrics` does."""
    runs = lot.make_runs()
    for trial, report in lot.epochs():
        lot.client.log_batch(runs[trial], metrics=points_of(report, _now_ms()))


def projection_per_epoch(lot: Lot) -> None:
    """Write each trial after each of its epochs, with parameters and tags."""
    projection = Projection(lot.settings, DirectoryStore(lot.settings.home / "store"))
    for record in _growing(lot):
        projection.trial(lot.spec, record)


def projector(lot: Lot) -> None:
    """Hand each trial over after each of its epochs, as a search does, and wait at the end."""
    store = DirectoryStore(lot.settings.home / "store")
    study = layout.study(lot.spec["name"], "study.json")
    store.put_new(study, json.dumps(lot.spec).encode())
    with Projector(lot.settings, store) as shown:
        shown.study(lot.spec)
        for record in _growing(lot):
            shown.trial(record)
        if left := shown.close(timeout_s=600):
            raise ServiceError(f"MLflow did not take {', '.join(left)}")


CLIENTS: dict[str, Callable[[Lot], None]] = {
    SYNCHRONOUS: one_by_one,
    ASYNCHRONOUS: asynchronously,
    "log_metrics, an epoch each": per_epoch,
    "ss3d, an epoch each": projection_per_epoch,
    PROJECTOR: projector,
}


def make_trials(count: int, folder: Path) -> list[TrialRecord]:
    """Return trials of the default length that report what real ones do.

    Args:
        count: how many.
        folder: empty, for what one of them is trained on.
    """
    reports = default_reports(folder)
    trials = synthetic_study(count).trials
    return [trial.model_copy(update={"reports": reports}) for trial in trials]


def measure_throughput(
    tracking: str, trials: Sequence[TrialRecord], repeats: int, advance: Callable[[], None]
) -> list[Throughput]:
    """Write the epochs of trials through every client in turn, again and again.

    Ours also write parameters, tags and the study's own run meanwhile. What arrived is read back
    and counted. The experiment that it makes is deleted at the end.

    Args:
        tracking: address of an MLflow server.
        trials: that run at once; clients that send a request per point get a tenth of them.
        repeats: of each client.
        advance: called after each measurement.

    Raises:
        ServiceError: the server is away, or points did not arrive.
    """
    seconds: dict[str, list[float]] = defaultdict(list)
    requests: dict[str, list[int]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="ss3d-bench-") as folder:
        settings = Settings(home=Path(folder), tracking=tracking)
        with _experiment(settings) as make_lot:
            for repeat in range(repeats):
                for number, (label, write) in enumerate(CLIENTS.items()):
                    chosen = trials[: _count(label, len(trials))]
                    lot = make_lot(f"client{number}-{repeat}", chosen)
                    with mlflow_errors(settings), _counted() as sent:
                        started = time.perf_counter()
                        write(lot)
                        seconds[label].append(time.perf_counter() - started)
                    requests[label].append(len(sent))
                    _check_arrived(lot)
                    advance()
    return [
        Throughput(
            client=label,
            trials=_count(label, len(trials)),
            points=_count_points(trials[: _count(label, len(trials))]),
            requests=statistics.median(requests[label]),
            seconds=spread(seconds[label]),
        )
        for label in CLIENTS
    ]


def speedup(found: Sequence[Throughput]) -> float:
    """Return how many times the points a second of the synchronous client the projector writes."""
    by_name = {one.client: one.points_per_s for one in found}
    return by_name[PROJECTOR] / by_name[SYNCHRONOUS]


def _count(label: str, num_trials: int) -> int:
    return max(1, num_trials // _FEW) if label in (SYNCHRONOUS, ASYNCHRONOUS) else num_trials


def _growing(lot: Lot) -> Iterator[TrialRecord]:
    """Yield the records of running trials as they grow."""
    records = {trial.spec.trial: trial for trial in lot.trials}
    for trial, report in lot.epochs():
        full = records[trial]
        reports = full.reports[: report.epoch + 1]
        yield TrialRecord(spec=full.spec, result=None, reports=reports)


def _count_points(trials: Sequence[TrialRecord]) -> int:
    return sum(len(points_of(report, 0)) for trial in trials for report in trial.reports)


def _check_arrived(lot: Lot) -> None:
    """Read back how many epochs the server has."""
    query = f"tags.`ss3d.study` = '{lot.spec['name']}'"
    with mlflow_errors(lot.settings):
        runs = lot.client.search_runs([lot.experiment], query, max_results=50_000)
        arrived = sum(
            len(lot.client.get_metric_history(run.info.run_id, MARKER))
            for run in runs
            if MARKER in run.data.metrics
        )
    expected = sum(len(trial.reports) for trial in lot.trials)
    if arrived != expected:
        raise ServiceError(f"{lot.spec['name']}: {arrived} of {expected} epochs are in MLflow")


@contextmanager
def _experiment(settings: Settings) -> Iterator[Callable[[str, Sequence[TrialRecord]], Lot]]:
    """Make an experiment until the block ends; yield what makes a lot in it."""
    client, name = open_client(settings), f"ss3d-bench-{uuid.uuid4().hex[:8]}"
    with mlflow_errors(settings):
        experiment = client.create_experiment(name)

    def make_lot(study: str, trials: Sequence[TrialRecord]) -> Lot:
        spec = {
            "name": study,
            "objective": {"metric": "val/cd_l1", "direction": "minimize"},
            "data": {"name": name},
            "budget": {"trials": len(trials)},
        }
        specs = [trial.spec.model_copy(update={"study": study}) for trial in trials]
        own = [t.model_copy(update={"spec": s}) for t, s in zip(trials, specs, strict=True)]
        return Lot(settings, client, experiment, spec, own)

    try:
        yield make_lot
    finally:
        with mlflow_errors(settings):
            client.delete_experiment(experiment)


@contextmanager
def _counted() -> Iterator[list[str]]:
    """Note the address of every HTTP request of this process until the block ends."""
    sent: list[str] = []
    send = HTTPAdapter.send

    def note(self: HTTPAdapter, request: Any, *rest: Any, **named: Any) -> Any:
        sent.append(request.url)
        return send(self, request, *rest, **named)

    with mock.patch.object(HTTPAdapter, "send", note):
        yield sent


def _now_ms() -> int:
    return int(1000 * time.time())
