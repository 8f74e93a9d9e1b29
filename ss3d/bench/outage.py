"""Seconds per trial with MLflow there and with one that stops answering, in one run."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from ss3d.bench.timing import Spread, spread
from ss3d.data.items import Shape
from ss3d.data.procedural import prepare_procedural
from ss3d.settings import Settings
from ss3d.store.directory import DirectoryStore
from ss3d.study.definition import Request
from ss3d.study.driver import Watcher, search
from ss3d.tracking.projector import Projector
from ss3d.tracking.server import serve_pages
from ss3d.trial.history import load_study_record

_SPACE = """
[base]
preset = "tiny"
data.labeled_ratio = 0.5
data.image_size = 32
data.num_target_points = 64
model.cnn_widths = [8, 16]
model.width = 16
model.stage_widths = [8, 8, 8]
model.num_points = 32
model.num_neighbors = 4
pretrain.steps = 4
pretrain.epochs = 1
semi.steps = 20
semi.epochs = 10
[sampler]
name = "random"
[pruner]
name = "none"
[parameters."semi.aug_strength"]
type = "float"
low = 0.0
high = 1.0
"""
"""Short epochs, so that MLflow has much to take."""


AWAY_FROM_S = 3.0
"""Seconds after the start of a search at which MLflow stops answering."""


@dataclass(frozen=True)
class Outage:
    """Seconds from one end of a trial to the next, over all searches of a kind."""

    there: Spread
    away: Spread
    interval: tuple[float, float]
    """95 % of the ratio, by resampling trials."""

    @property
    def ratio(self) -> float:
        """Return how many times as long trials take without MLflow."""
        return self.away.median / self.there.median


def measure_outage(num_trials: int, repeats: int, advance: Callable[[], None]) -> Outage:
    """Search with MLflow and without, in turn, again and again; one trial at a time.

    Both use one server on this machine, which is halted during every other search. Which of the
    two comes first changes with every repeat, so that a drift of the machine falls on both.

    Args:
        num_trials: per search.
        repeats: of each.
        advance: called after each search.
    """
    samples: dict[str, list[float]] = {"there": [], "away": []}
    with tempfile.TemporaryDirectory(prefix="ss3d-bench-") as folder:
        home = Path(folder)
        shape = Shape(num_views=1, image_size=32, num_points=64)
        prepare_procedural(DirectoryStore(home / "data"), "ss3d-bench-outage", 32, 0, shape, None)
        (home / "outage.toml").write_text(_SPACE)
        with serve_pages(Settings(home=home), 0) as (address, server):
            settings = Settings(home=home, tracking=address)
            for repeat in range(repeats):
                for name in ("there", "away") if repeat % 2 == 0 else ("away", "there"):
                    with _halted(server.pid) if name == "away" else nullcontext():
                        ends = _search(settings, f"{name}-{repeat}", num_trials)
                    samples[name] += np.diff(sorted(ends)).tolist()
                    advance()
    return summarize_outage(samples["there"], samples["away"])


def summarize_outage(there: Sequence[float], away: Sequence[float]) -> Outage:
    """Return medians and their ratio's interval of the seconds of trials, at least one each."""
    rng = np.random.default_rng(0)
    drawn = [np.median(rng.choice(seconds, (2000, len(seconds))), 1) for seconds in (away, there)]
    low, high = np.quantile(drawn[0] / drawn[1], (0.025, 0.975))
    return Outage(spread(there), spread(away), (float(low), float(high)))


@contextmanager
def _halted(pid: int) -> Iterator[None]:
    """Halt a process and its children after a while, until the block ends."""
    halted: list[psutil.Process] = []

    def halt() -> None:
        halted.extend([psutil.Process(pid), *psutil.Process(pid).children(recursive=True)])
        for process in halted:
            process.suspend()

    timer = threading.Timer(AWAY_FROM_S, halt)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        for process in halted:
            process.resume()


def _search(settings: Settings, name: str, num_trials: int) -> list[float]:
    """Return when each trial ended."""
    store = DirectoryStore(Path(settings.store_address))
    request = Request(
        space=settings.home / "outage.toml",
        data=str(settings.home / "data"),
        name=name,
        trials=num_trials,
        slots=1,
    )
    shown = Projector(settings, store)
    try:
        search(request, settings, shown, Watcher())
    finally:
        shown.close(timeout_s=1)
    trials = load_study_record(store, name).trials
    return [trial.result.finished_at for trial in trials if trial.result]
