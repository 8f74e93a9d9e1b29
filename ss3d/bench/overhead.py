"""Seconds per trial that does nothing: our search beside plain Ray Tune, in one run."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune import Callback
from ray.tune.experiment import Trial

from ss3d.bench.threads import load_by_thread, sampled
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
from ss3d.trial.records import EpochReport

SPACE = """
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
VALUE = {"val/cd_l1": 1.0}
"""What every trial reports."""


class NoJob(JobTrainable):
    """Runs jobs that train nothing, and touches no store: what is left is the search itself."""

    def begin(self, config: dict[str, Any]) -> Generator[Progress, None, None]:
        """Yield the end of the job, with one epoch."""
        job, _ = from_config(config)
        report = EpochReport(
            phase="pretrain" if job.kind == "pretrain" else "semi",
            epoch=1,
            step=1,
            metrics=VALUE,
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
        return {**VALUE, "done": True}


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
    threads: dict[str, dict[str, float]]
    """Processor seconds per trial by thread of the driver, of ours and of Tune's with reused actors
    in their last runs."""

    @property
    def ratio(self) -> float:
        """Return how many times the better plain run ours takes."""
        return self.ours.median / min(self.reused.median, self.fresh.median)


def measure_overhead(
    num_trials: int, repeats: int, slots: int, advance: Callable[[], None]
) -> Overhead:
    """Run all three in turn, again and again.

    Args:
        num_trials: of ours and of plain Tune with reused actors; a fiftieth of it, at least four,
            with a process per trial.
        repeats: of each.
        slots: trials at once.
        advance: called after each run.
    """
    few = max(num_trials // 50, 4)
    ends: dict[str, list[list[float]]] = {"ours": [], "reused": [], "fresh": []}
    threads: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="ss3d-bench-") as folder:
        home = Path(folder)
        no_data(home)
        for repeat in range(repeats):
            runs = {
                "ours": partial(_ours, home, f"nothing-{repeat}", num_trials, slots),
                "reused": partial(_plain, home, num_trials, slots, reuse=True),
                "fresh": partial(_plain, home, few, slots, reuse=False),
            }
            for name, run in runs.items():
                with sampled() as samples:
                    times = run()
                loads = load_by_thread(samples, min(times), max(times))
                threads[name] = {of: load * per_trial(times) for of, load in loads.items()}
                ends[name].append(times)
                advance()
    spreads = {name: spread([per_trial(times) for times in runs]) for name, runs in ends.items()}
    del threads["fresh"]  # its processes start and end, which is not the driver's work
    return Overhead(**spreads, threads=threads)


def seconds_per_trial(num_trials: int) -> float:
    """Return what a trial of ours that does nothing costs on this machine, one at a time."""
    with tempfile.TemporaryDirectory(prefix="ss3d-bench-") as folder:
        no_data(Path(folder))
        return per_trial(_ours(Path(folder), "nothing", num_trials, slots=1))


def no_data(home: Path) -> None:
    """Write a search space, and a data set that nobody reads, into a folder."""
    shape = Shape(num_views=1, image_size=32, num_points=64)
    prepare_procedural(DirectoryStore(home / "data"), "nothing", 16, 0, shape, None)
    (home / "nothing.toml").write_text(SPACE)


def run_study(
    settings: Settings, name: str, num_trials: int, slots: int, jobs: type[JobTrainable]
) -> list[float]:
    """Search in a home that `no_data` made; return when the trials ended.

    Args:
        settings: with the home, and the cluster if there is one.
        name: of the study.
        num_trials: of it.
        slots: trials at once.
        jobs: what runs them.
    """
    request = Request(
        space=settings.home / "nothing.toml",
        data=str(settings.home / "data"),
        name=name,
        trials=num_trials,
        slots=slots,
    )
    search(request, settings, None, Watcher(), jobs)
    trials = load_study_record(open_store(settings.store_address), name).trials
    return [trial.result.finished_at for trial in trials if trial.result]


def _ours(home: Path, name: str, num_trials: int, slots: int) -> list[float]:
    return run_study(Settings(home=home), name, num_trials, slots, NoJob)


def _plain(home: Path, num_trials: int, slots: int, reuse: bool) -> list[float]:
    """Return when plain Tune's trials ended."""
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
    return ends.times
