"""What the driver's steps cost with thousands of trials: Tune's plug-ins on a simulated study."""

from __future__ import annotations

import time
import tracemalloc
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

from optuna.trial import FrozenTrial
from ray.tune.schedulers import TrialScheduler

from ss3d.bench.timing import Latency, latency
from ss3d.study.frozen import frozen_trial
from ss3d.study.job import Job, Place, Progress, from_config
from ss3d.study.moves import Moves
from ss3d.study.proposals import propose
from ss3d.study.searcher import PAYLOAD, JobSearcher, RungScheduler
from ss3d.study.simulation import InOrder, Simulation
from ss3d.study.space import Space
from ss3d.study.synthetic import synthetic_space, synthetic_study
from ss3d.study.tables import Asha
from ss3d.study.variation import with_sampler
from ss3d.trial.records import StudyRecord

_SLOTS = 8
_ASKS = 20


@dataclass(frozen=True)
class DriverCost:
    """What the driver's steps cost in a study of some size."""

    num_trials: int
    calls: dict[str, Latency]
    """Of Tune's loop, by the name of Tune's call."""
    memory_mib: float
    """Of the whole study at its end."""


@dataclass(frozen=True)
class AskCost:
    """What a sampler's proposal costs after so many finished trials."""

    sampler: str
    num_trials: int
    ask: Latency
    tell: Latency
    """What makes a result known to the sampler."""


class Plugins:
    """Tune's plug-ins as Tune calls them, with a clock beside them.

    Args:
        simulation: whose board they stand in front of.
    """

    def __init__(self, simulation: Simulation) -> None:
        place = Place(study="synthetic", store="", data="", cache_dir="", gpus=0)
        moves = Moves(simulation.board)
        self._searcher = JobSearcher(simulation.board, place, lambda: None, moves)
        self._scheduler = RungScheduler(simulation.board, moves)
        self.samples: defaultdict[str, list[float]] = defaultdict(list)

    def take(self, tune_id: str) -> Job | None:
        """Ask the searcher."""
        with _timed(self.samples["suggest"]):
            config = self._searcher.suggest(tune_id)
        return from_config(config)[0] if isinstance(config, dict) else None

    def report(self, tune_id: str, progress: Progress) -> bool:
        """Ask the scheduler."""
        result, trial = {PAYLOAD: progress.to_json()}, _trial(tune_id)
        with _timed(self.samples["on_trial_result"]):
            answer = self._scheduler.on_trial_result(None, trial, result)
        return answer == TrialScheduler.STOP

    def end(self, tune_id: str, progress: Progress) -> None:
        """Tell both."""
        result, trial = {PAYLOAD: progress.to_json()}, _trial(tune_id)
        with _timed(self.samples["on_trial_complete"]):
            self._scheduler.on_trial_complete(None, trial, result)
            self._searcher.on_trial_complete(tune_id, result)


def measure_driver(num_trials: int) -> DriverCost:
    """Simulate a study twice: for the times, and for the memory."""
    study = synthetic_study(num_trials)
    space = replace(synthetic_space(), pruner=Asha())
    timed = Plugins(simulation := _simulation(study, space))
    simulation.run(timed)
    weighed = _simulation(study, space)
    tracemalloc.start()
    weighed.run(Plugins(weighed))
    memory, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    calls = {call: latency(samples) for call, samples in sorted(timed.samples.items())}
    return DriverCost(num_trials, calls, memory / 2**20)


def measure_ask(sampler: str, num_trials: int) -> AskCost:
    """Ask for the trials that come after a finished study.

    Args:
        sampler: as `ss3d simulate` takes it.
        num_trials: that are finished, over three strata.
    """
    study, space = synthetic_study(num_trials), with_sampler(synthetic_space(), sampler)
    history: list[FrozenTrial] = []
    asks: list[float] = []
    tells: list[float] = []
    for trial in study.trials:
        with _timed(tells):
            history.append(frozen_trial(trial.spec, trial.result, space.objectives))
    for number in range(num_trials, num_trials + _ASKS):
        with _timed(asks):
            propose(space, history, number)
    return AskCost(sampler, num_trials, latency(asks), latency(tells))


def _simulation(study: StudyRecord, space: Space) -> Simulation:
    return Simulation(study, space, len(study.trials), _SLOTS, InOrder(study.trials))


@contextmanager
def _timed(samples: list[float]) -> Iterator[None]:
    """Add the seconds of the block to some samples."""
    started = time.perf_counter()
    yield
    samples.append(time.perf_counter() - started)


def _trial(tune_id: str) -> Any:
    """Return a stand-in for Tune's trial: the scheduler reads its id only."""
    return SimpleNamespace(trial_id=tune_id)
