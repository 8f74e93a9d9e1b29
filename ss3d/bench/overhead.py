"""Seconds per trial that does nothing: our search beside plain Ray Tune, in one run."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune import Callback
from ray.tune.experiment import Trial

from ss3d.bench.timing import Spread, per_trial, spread
from ss3d.data.items import Shape
from ss3d.data.procedural import prepare_procedural
from ss3d.settings import Settings
from ss3d.store.directory import DirectoryStore
from ss3d.store.opening import open_store
from ss3d.study.definition import Request
from ss3d.study.driver import Watcher, search
from ss3d.study.job import Progress, from_config
from ss3d.study.session import ray_session
from ss3d.study.tables import Resources
from ss3d.study.trainable import JobTrainable
from ss3d.trial.history import load_study_record
from ss3d.trial.records import EpochReport, StudyRecord

_SPACE = """
[base]
preset = "tiny"
[sampler]
name = "random"
[pruner]
name = "none"
[parameters."semi.aug_strength"]
type = "float"
low = 0.0
high = 1.0
"""
_METRIC = "val/cd_l1"


class NoJob(JobTrainable):
    """Runs jobs that train nothing, and touches no store: what is left is the search itself."""

    def begin(self, config: dict[str, Any]) -> Iterator[Progress]:
        """Yield the end of the job, with one epoch."""
        job, _ = from_config(config)
        report = EpochReport(
            phase="pretrain" if job.kind == "pretrain" else "semi",
            epoch=1,
            step=1,
            metrics={_METRIC: 1.0},
            system={"epoch_s": 0.0},
            digest="",
        )
        yield Progress(1, (report,), is_done=True)


class NoTrial(tune.Trainable):
    """A trial of plain Tune that trains nothing."""

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take another trial, if actors are reused."""
        return True

    def step(self) -> dict[str, Any]:
        """Report the end."""
        return {_METRIC: 1.0, "done": True}


class Ends(Callback):
    """Notes when trials end."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Note the time."""
        self.times.append(time.time())


@dataclass(frozen=True)
class Overhead:
    """Seconds per trial that does nothing, from the first end to the last."""

    ours: Spread
    reused: Spread
    """Plain Tune with `reuse_actors=True`."""
    fresh: Spread
    """Plain Tune with a process per trial, as it is by default."""
    records: StudyRecord
    """Of our last run."""

    @property
    def ratio(self) -> float:
        """Return how many times the better plain run ours takes."""
        return self.ours.median / min(self.reused.median, self.fresh.median)


def measure_overhead(
    num_trials: int, repeats: int, slots: int, advance: Callable[[], None]
) -> Overhead:
    """Run all three in turn, again and again.

    Args:
        num_trials: of ours and of plain Tune with reused actors; a tenth of it, at least four, with
            a process per trial.
        repeats: of each.
        slots: trials at once.
        advance: called after each run.
    """
    few = max(num_trials // 10, 4)
    samples: dict[str, list[float]] = {"ours": [], "reused": [], "fresh": []}
    with tempfile.TemporaryDirectory(prefix="ss3d-bench-") as folder:
        home = Path(folder)
        shape = Shape(num_views=1, image_size=32, num_points=64)
        prepare_procedural(DirectoryStore(home / "data"), "nothing", 16, 0, shape, None)
        (home / "nothing.toml").write_text(_SPACE)
        for repeat in range(repeats):
            samples["ours"].append(_ours(home, f"nothing-{repeat}", num_trials, slots))
            advance()
            samples["reused"].append(_plain(home, num_trials, slots, reuse=True))
            advance()
            samples["fresh"].append(_plain(home, few, slots, reuse=False))
            advance()
        records = load_study_record(_store(home), f"nothing-{repeats - 1}")
    spreads = {name: spread(values) for name, values in samples.items()}
    return Overhead(**spreads, records=records)


def _store(home: Path) -> Any:
    return open_store(Settings(home=home).store_address)


def _ours(home: Path, name: str, num_trials: int, slots: int) -> float:
    request = Request(
        space=home / "nothing.toml",
        data=str(home / "data"),
        name=name,
        trials=num_trials,
        slots=slots,
    )
    search(request, Settings(home=home), None, Watcher(), NoJob)
    trials = load_study_record(_store(home), name).trials
    return per_trial([trial.result.finished_at for trial in trials if trial.result])


def _plain(home: Path, num_trials: int, slots: int, reuse: bool) -> float:
    os.environ.pop("TUNE_MAX_PENDING_TRIALS_PG", None)  # ours sets it
    ends = Ends()
    with ray_session(Settings(home=home), Resources(), slots):
        tune.Tuner(
            tune.with_resources(NoTrial, {"cpu": 1}),
            param_space={"semi.aug_strength": tune.uniform(0, 1)},
            tune_config=tune.TuneConfig(
                num_samples=num_trials, max_concurrent_trials=slots, reuse_actors=reuse
            ),
            run_config=tune.RunConfig(
                storage_path=str(home / "tune"),
                verbose=0,
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                callbacks=[ends],
            ),
        ).fit()
    return per_trial(ends.times)
