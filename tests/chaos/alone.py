"""Trials as they are when nothing disturbs them: trained alone, in this process, without Ray."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from chaos_study import NAME

from ss3d.store import layout
from ss3d.study.attempt import run_job
from ss3d.study.job import Job, Place
from ss3d.study.worker import Worker
from ss3d.trial.records import EpochReport, TrialSpec

Curve = list[tuple[object, ...]]


class Alone:
    """Trains trials in a store of its own.

    Args:
        folder: for the store and the cache.
        data: the data set.
    """

    def __init__(self, folder: Path, data: Path) -> None:
        addresses = (str(folder / "alone"), str(data), str(folder / "cache"))
        self._worker = Worker(Place(NAME, *addresses, gpus=0))
        self._known: dict[str, Curve] = {}

    def train(self, spec: TrialSpec) -> Curve:
        """Return the curve of a trial; equal configurations are trained once."""
        key = spec.config.model_dump_json()
        if key not in self._known:
            self._known[key] = self._train(spec)
        return self._known[key]

    def close(self) -> None:
        self._worker.uploader.close(10)

    def _train(self, spec: TrialSpec) -> Curve:
        store = self._worker.store
        store.put_new(layout.trial(NAME, spec.trial, "spec.json"), spec.to_json())
        jobs = [Job("trial", spec.trial, spec.pretrain_key)]
        if store.get(layout.pretrain(spec.pretrain_key, "manifest.json")) is None:
            jobs.insert(0, Job("pretrain", spec.trial, spec.pretrain_key))
        *_, told = [list(run_job(self._worker, job)) for job in jobs]
        return curve(report for progress in told for report in progress.reports)


def curve(reports: Iterable[EpochReport]) -> Curve:
    """Return all of a trial's epochs that must repeat bit for bit."""
    return [(r.phase, r.epoch, r.step, r.metrics, r.digest) for r in reports]
