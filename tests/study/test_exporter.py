"""What Prometheus is told of a search, from boards whose numbers are known."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from test_ledger import epochs, make, run_one, shown

from ss3d.errors import ConfigError, RefusedError
from ss3d.study.exporter import Exporter, Metrics
from ss3d.study.spool import Waiting
from ss3d.tracking.projector import Lag

NOW = 1000.0
DASHBOARD = Path(__file__).parents[2] / "cluster" / "grafana.json"


def make_metrics(lag: Lag | None = None, spool: Waiting | None = None) -> Metrics:
    said = (lag or Lag(0, 0.0), spool or Waiting(0, None))
    metrics = Metrics(lambda: said[0], lambda: said[1], lambda: NOW)
    metrics.study = "heads"
    return metrics


def read(metrics: Metrics, name: str, **labels: str) -> float | None:
    registry = CollectorRegistry()
    registry.register(metrics)
    return registry.get_sample_value(f"ss3d_{name}", {"study": "heads", **labels})


def test_trials_are_counted_by_state() -> None:
    board, _, _ = make("")
    run_one(board, 0, "a", epochs(8, 0.125))
    metrics = make_metrics()
    assert read(metrics, "trials", state="complete") is None, "nothing is known yet"
    metrics.snapshot = shown(board)
    counts = {state: read(metrics, "trials", state=state) for state in metrics.snapshot.counts}
    assert counts == {"complete": 1.0}
    assert read(metrics, "trials", state="failed") == 0.0
    assert read(metrics, "trials_target") == 8.0
    assert read(metrics, "best", stratum="") == 5.0


def test_hours_and_reused_states_are_those_of_the_books() -> None:
    board, _, _ = make("", "[resources]\ncpus = 2\n")
    run_one(board, 0, "a", epochs(8, 0.125))  # no pretraining ran: its state was there already
    metrics = make_metrics()
    metrics.snapshot = shown(board)
    assert read(metrics, "device_hours") == pytest.approx(2 * 8 * 0.125)
    assert read(metrics, "reused_pretrains") == 1.0


def test_lags_are_the_age_of_the_oldest() -> None:
    board, _, _ = make("")
    metrics = make_metrics(Lag(3, 12.5), Waiting(7, NOW - 60))
    metrics.snapshot = shown(board)
    assert read(metrics, "upload_waiting_bytes") == 7.0
    assert read(metrics, "upload_lag_seconds") == 60.0
    assert read(metrics, "tracking_waiting") == 3.0
    assert read(metrics, "tracking_lag_seconds") == 12.5


def test_it_is_served_on_loopback_until_the_end() -> None:
    board, _, _ = make("")
    metrics = make_metrics()
    metrics.snapshot = shown(board)
    with Exporter("0", metrics) as exporter:
        url = f"http://127.0.0.1:{exporter.port}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert b'ss3d_trials_target{study="heads"} 8.0' in answer.read()
        with pytest.raises(RefusedError, match="give another"):
            Exporter(str(exporter.port), metrics)
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=10)


@pytest.mark.parametrize("address", ["", "x", "host:", "70000", "1:-2"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="expected PORT or HOST:PORT"):
        Exporter(address, make_metrics())


def test_the_dashboard_shows_each_metric_and_no_other() -> None:
    board, _, _ = make("")
    metrics = make_metrics()
    metrics.snapshot = shown(board)
    written = {family.name for family in metrics.collect()}
    panels = json.loads(DASHBOARD.read_text())["panels"]
    expressions = [target["expr"] for panel in panels for target in panel["targets"]]
    assert set(re.findall(r"ss3d_\w+", " ".join(expressions))) == written
    assert all('study=~"$study"' in expression for expression in expressions)
    assert len({panel["id"] for panel in panels}) == len(panels)
