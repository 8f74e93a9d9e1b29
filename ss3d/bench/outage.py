"""Seconds per trial with MLflow there and with one that never answers, in one run."""

from __future__ import annotations

import socket
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ss3d.bench.timing import Spread, per_trial, spread
from ss3d.data.items import Shape
from ss3d.data.procedural import prepare_procedural
from ss3d.settings import Settings
from ss3d.store.directory import DirectoryStore
from ss3d.study.definition import Request
from ss3d.study.driver import Watcher, search
from ss3d.tracking.projector import Projector
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


@dataclass(frozen=True)
class Outage:
    """Seconds per trial, from the first end to the last."""

    there: Spread
    away: Spread

    @property
    def ratio(self) -> float:
        """Return how many times as long trials take without MLflow."""
        return self.away.median / self.there.median


def measure_outage(
    tracking: str, num_trials: int, repeats: int, advance: Callable[[], None]
) -> Outage:
    """Search with MLflow and without, in turn, again and again; one trial at a time.

    Args:
        tracking: address of an MLflow server.
        num_trials: per search.
        repeats: of each.
        advance: called after each search.
    """
    samples: dict[str, list[float]] = defaultdict(list)
    with (
        tempfile.TemporaryDirectory(prefix="ss3d-bench-") as folder,
        socket.create_server(("127.0.0.1", 0)) as deaf,
    ):
        home = Path(folder)
        shape = Shape(num_views=1, image_size=32, num_points=64)
        prepare_procedural(DirectoryStore(home / "data"), "ss3d-bench-outage", 32, 0, shape, None)
        (home / "outage.toml").write_text(_SPACE)
        addresses = {"there": tracking, "away": f"http://127.0.0.1:{deaf.getsockname()[1]}"}
        for repeat in range(repeats):
            for name, address in addresses.items():
                settings = Settings(home=home, tracking=address)
                samples[name].append(_search(settings, f"{name}-{repeat}", num_trials))
                advance()
    return Outage(**{name: spread(values) for name, values in samples.items()})


def _search(settings: Settings, name: str, num_trials: int) -> float:
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
    return per_trial([trial.result.finished_at for trial in trials if trial.result])
