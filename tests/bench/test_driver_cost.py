"""The benchmark of the driver: what it counts, and what it says of its growth."""

from __future__ import annotations

from pathlib import Path

import pytest

from ss3d.study.environment import prepare_environment
from ss3d.study.synthetic import synthetic_study


@pytest.fixture(autouse=True)
def _environment(tmp_path: Path) -> None:
    prepare_environment(tmp_path)  # before Ray is imported


def test_every_call_of_tune_is_timed_once() -> None:
    from ss3d.bench.driver import measure_driver

    cost = measure_driver(12)
    num_shared = len(synthetic_study(12).shared)
    assert cost.calls["on_trial_complete"].count == 12 + num_shared
    assert set(cost.calls) == {"suggest", "on_trial_result", "on_trial_complete"}
    assert all(0 < call.p50_s <= call.p99_s for call in cost.calls.values())
    assert cost.memory_mib > 0


def test_percentiles_and_spread_of_known_numbers() -> None:
    from ss3d.bench.timing import Latency, Spread, latency, spread

    assert latency([float(n) for n in range(101)]) == Latency(101, 50.0, 99.0)
    assert spread([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)
