"""Processor time by thread while something runs: who competes with Tune's loop."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

_PERIOD_S = 0.2
_OTHERS = "Ray's and others'"
"""Threads that are not Python's: they do not compete for its lock."""

Sample = tuple[float, dict[int, float], dict[int, str]]
"""When it was taken, by `time.time`; processor seconds and names of the threads until then."""


@contextmanager
def sampled() -> Iterator[list[Sample]]:
    """Take samples of this process while the block runs; the list grows meanwhile."""
    samples: list[Sample] = []
    ended = threading.Event()
    process = psutil.Process()

    def watch() -> None:
        while not ended.wait(_PERIOD_S):
            names = {t.native_id: t.name for t in threading.enumerate() if t.native_id}
            used = {t.id: t.user_time + t.system_time for t in process.threads()}
            samples.append((time.time(), used, names))

    thread = threading.Thread(target=watch, name="sampler", daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        ended.set()
        thread.join()


def load_by_thread(samples: list[Sample], first: float, last: float) -> dict[str, float]:
    """Return how busy each thread was from the first to the last sample of an interval.

    Args:
        samples: of `sampled`.
        first: when the interval begins, by `time.time`.
        last: when it ends.

    Returns:
        Processor seconds per second by name, the busiest first; empty if fewer than two samples lie
        in the interval. A thread that began in it counts from its beginning.
    """
    inside = [sample for sample in samples if first <= sample[0] <= last]
    if len(inside) < 2:
        return {}
    (began, before, _), (ended, after, names) = inside[0], inside[-1]
    loads: defaultdict[str, float] = defaultdict(float)
    for number, used in after.items():
        spent = used - before.get(number, 0.0)
        loads[names.get(number, _OTHERS)] += spent / (ended - began)
    return dict(sorted(loads.items(), key=lambda item: -item[1]))
