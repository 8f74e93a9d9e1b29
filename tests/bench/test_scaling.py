"""What a simulated study asks of its driver, and the processor time of threads."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from ss3d.bench.threads import load_by_thread, sampled
from ss3d.study.environment import prepare_environment


def test_more_gpus_bring_the_same_results_in_less_time(tmp_path: Path) -> None:
    prepare_environment(tmp_path)
    from ss3d.bench.scaling import measure_load  # Ray's environment is read at its import

    few, many = measure_load([2, 8], 60, epoch_s=10.0, bound_s=0.01)
    assert min(few.results, many.results) > 60 * 2
    assert 3 < few.hours / many.hours < 4.1
    assert many.results_per_s < 8 / 10.0 * 1.5  # a GPU trains one epoch at a time
    assert many.bound == pytest.approx(many.results_per_s * 0.01)
    assert many.saturated_gpus == pytest.approx(8 / many.bound)


def test_the_busy_thread_has_the_load() -> None:
    ended = threading.Event()

    def turn() -> None:
        while not ended.is_set():
            pass

    thread = threading.Thread(target=turn, name="busy")
    idle = threading.Thread(target=ended.wait, name="idle")
    with sampled() as samples:
        first = time.time()
        thread.start()
        idle.start()
        while len(samples) < 4:
            time.sleep(0.05)
        ended.set()
        loads = load_by_thread(samples, first, time.time())
    assert max(loads, key=lambda name: loads[name]) == "busy"
    assert loads["idle"] == pytest.approx(0.0, abs=0.05)
    assert load_by_thread(samples, first, first) == {}
