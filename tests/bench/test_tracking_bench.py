"""The bench of MLflow's clients: its ratio, and its smallest run."""

from __future__ import annotations

import shutil
from pathlib import Path

from ss3d.bench.outage import Outage
from ss3d.bench.timing import Spread
from ss3d.bench.tracking import (
    CLIENTS,
    PROJECTOR,
    SYNCHRONOUS,
    Throughput,
    measure_throughput,
    speedup,
)
from ss3d.settings import Settings
from ss3d.tracking.connection import open_client


def test_ratios_are_of_points_a_second_and_of_seconds() -> None:
    found = [
        Throughput(SYNCHRONOUS, points=100, requests=100, seconds=Spread(2.0, 1.0, 3.0)),
        Throughput(PROJECTOR, points=1000, requests=10, seconds=Spread(1.0, 1.0, 1.0)),
    ]
    assert speedup(found) == 1000 / 50
    assert Outage(Spread(2.0, 1.0, 3.0), Spread(2.1, 2.0, 2.2)).ratio == 1.05


def test_every_client_brings_all_points(migrated_database: Path, tmp_path: Path) -> None:
    shutil.copyfile(migrated_database, tmp_path / "mlflow.db")
    settings = Settings(home=tmp_path)
    done: list[int] = []
    found = measure_throughput(settings.tracking_uri, 2, 1, lambda: done.append(1))
    assert [one.client for one in found] == list(CLIENTS)
    assert [one.points for one in found] == [found[1].points // 2] + 4 * [found[1].points]
    assert all(one.seconds.median > 0 and one.requests == 0 for one in found)  # no server: a file
    assert len(done) == len(CLIENTS)
    assert [e.name for e in open_client(settings).search_experiments()] == ["Default"]
