"""The bench of MLflow's clients: its ratio, and its smallest run."""

from __future__ import annotations

import shutil
from pathlib import Path

from ss3d.bench.outage import summarize_outage
from ss3d.bench.timing import Spread
from ss3d.bench.tracking import (
    CLIENTS,
    PROJECTOR,
    SYNCHRONOUS,
    Throughput,
    make_trials,
    measure_throughput,
    speedup,
)
from ss3d.config import TrialConfig
from ss3d.settings import Settings
from ss3d.study.synthetic import synthetic_study
from ss3d.tracking.connection import open_client
from ss3d.trial.records import VALIDATION_METRICS


def test_ratios_are_of_points_a_second_and_of_seconds() -> None:
    found = [
        Throughput(SYNCHRONOUS, trials=1, points=100, requests=100, seconds=Spread(2.0, 1.0, 3.0)),
        Throughput(PROJECTOR, trials=10, points=1000, requests=10, seconds=Spread(1.0, 1.0, 1.0)),
    ]
    assert speedup(found) == 1000 / 50


def test_the_interval_of_an_outage_holds_its_ratio() -> None:
    found = summarize_outage(there=[1.9, 2.0, 2.1], away=[2.0, 2.1, 2.2])
    assert found.ratio == 1.05
    assert 2.0 / 2.1 <= found.interval[0] <= found.ratio <= found.interval[1] <= 2.2 / 1.9
    assert summarize_outage([2.0, 2.0], [1.0, 1.0]).interval == (0.5, 0.5)


def test_every_client_brings_all_points(migrated_database: Path, tmp_path: Path) -> None:
    shutil.copyfile(migrated_database, tmp_path / "mlflow.db")
    settings = Settings(home=tmp_path)
    done: list[int] = []
    trials = synthetic_study(2).trials
    found = measure_throughput(settings.tracking_uri, trials, 1, lambda: done.append(1))
    assert [one.client for one in found] == list(CLIENTS)
    assert [one.trials for one in found] == [1, 1, 2, 2, 2]
    assert all(one.points * 2 == found[-1].points * one.trials for one in found)
    assert all(one.seconds.median > 0 and one.requests == 0 for one in found)  # no server: a file
    assert len(done) == len(CLIENTS)
    assert [e.name for e in open_client(settings).search_experiments()] == ["Default"]


def test_the_trials_that_are_measured_report_what_real_ones_do(tmp_path: Path) -> None:
    trials = make_trials(2, tmp_path)
    reports = trials[1].reports
    assert [report.epoch for report in reports] == list(range(TrialConfig().semi.epochs + 1))
    assert {*VALIDATION_METRICS, "train/loss", "model/parameters"} <= reports[-1].metrics.keys()
    assert trials[0].spec.trial != trials[1].spec.trial
