"""The same search with Ray Tune alone, written as its documentation shows; imports Ray.

Every trial pretrains for itself. Workers are reused, which Tune does not do by default: so a trial
here does not pay for imports either.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search import BasicVariantGenerator, ConcurrencyLimiter
from ray.tune.search.optuna import OptunaSearch

from ss3d.bench.cell import Ended
from ss3d.bench.shape import FACTOR, FIRST_RUNG, METRIC
from ss3d.config import TrialConfig
from ss3d.data.dataset import open_dataset
from ss3d.data.loader import TrialData, load_data
from ss3d.errors import OutcomeError
from ss3d.store.opening import open_store
from ss3d.study.parameter import Choices, FloatRange
from ss3d.study.proposals import propose
from ss3d.study.searcher import Unsaved
from ss3d.study.space import Space
from ss3d.trial.run import run_trial
from ss3d.trial.state import new_state

SEMI_EPOCH = "semi_epoch"
"""Reported in the teacher-student phase only, so Tune's schedulers count its epochs by it."""
_PARTS = ("pretrain_s", "start_s", "semi_s")


@dataclass(frozen=True)
class Plain:
    """How Tune is asked to search."""

    stops: bool = False
    """Use Tune's ASHAScheduler."""
    learns: bool = False
    """Use Tune's OptunaSearch instead of random search."""


def train(config: dict[str, Any], base: dict[str, Any], data: str, cache: str) -> None:
    """Train one trial, both phases, and report every epoch: what a user hands to Tune."""
    trial = TrialConfig.parse(base).override(config)
    loaded = load_data(open_dataset(open_store(data)), trial.data, Path(cache))
    for metrics in measured_epochs(trial, loaded):
        tune.report(metrics)


def measured_epochs(config: TrialConfig, data: TrialData) -> Iterator[dict[str, Any]]:
    """Yield every epoch's objective with the seconds of the trial so far, by part."""
    seconds = dict.fromkeys(_PARTS, 0.0)
    for report in run_trial(new_state(config, None, torch.device("cpu")), data):
        is_semi = report.phase == "semi"
        part = "pretrain_s" if not is_semi else "semi_s" if report.epoch else "start_s"
        seconds[part] += report.system["epoch_s"]
        counted = {SEMI_EPOCH: report.epoch} if is_semi else {}
        yield {METRIC: report.metrics[METRIC], "at": time.time(), **seconds, **counted}


def search_plainly(
    space: Space, plain: Plain, data: str, cache: Path, on_end: Callable[[int], None]
) -> tuple[Ended, ...]:
    """Search with Tune in a Ray session that runs; return the trials in the order of their ends.

    Args:
        space: what varies, its budget and its slots.
        plain: how.
        data: address of the data set.
        cache: folder of decoded data sets.
        on_end: called after every trial with how many ended.

    Raises:
        OutcomeError: a trial failed.
    """
    os.environ.pop("TUNE_MAX_PENDING_TRIALS_PG", None)  # of a search by ss3d before
    base = space.base.model_dump(mode="json")
    trainable = tune.with_parameters(train, base=base, data=data, cache=str(cache))
    with tempfile.TemporaryDirectory(prefix="ss3d-tune-") as folder:
        tuner = tune.Tuner(
            trainable,
            param_space={p.path: _domain(p.range) for p in space.parameters},
            tune_config=tune.TuneConfig(
                metric=METRIC,
                mode="min",
                num_samples=space.num_trials,
                search_alg=_searcher(space, plain),
                scheduler=_scheduler(space, plain),
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name=space.name, storage_path=folder, verbose=0, callbacks=[_Ends(on_end)]
            ),
        )
        results = tuner.fit()
    if results.errors:
        raise OutcomeError(f"{results.num_errors} trials failed: {results.errors[0]}")
    return _in_order([result.metrics or {} for result in results])


def _in_order(results: Sequence[Mapping[str, Any]]) -> tuple[Ended, ...]:
    """Return trials in the order of their ends, from the last result of each."""
    ended = [
        Ended(
            at=result["at"],
            value=result[METRIC],
            epoch=result.get(SEMI_EPOCH, 0),
            **{part: result[part] for part in _PARTS},
        )
        for result in results
    ]
    return tuple(sorted(ended, key=lambda trial: trial.at))


class _Ends(Unsaved, tune.Callback):
    """Counts the trials that ended."""

    def __init__(self, on_end: Callable[[int], None]) -> None:
        self._on_end = on_end
        self._ended = 0

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        self._ended += 1
        self._on_end(self._ended)


def _domain(of: object) -> Any:
    match of:
        case Choices(choices):
            return tune.choice(choices)
        case FloatRange(low, high, "linear", None):
            return tune.uniform(low, high)
    raise AssertionError(of)


def _searcher(space: Space, plain: Plain) -> Any:
    """Return OptunaSearch, or random search; that tries what ss3d's random sampler would."""
    slots = space.resources.max_concurrent or 0
    if plain.learns:
        return ConcurrencyLimiter(OptunaSearch(seed=space.seed), max_concurrent=slots)
    points = [dict(propose(space, [], number).params) for number in range(space.num_trials)]
    return BasicVariantGenerator(points_to_evaluate=points, max_concurrent=slots)


def _scheduler(space: Space, plain: Plain) -> TrialScheduler:
    if not plain.stops:
        return FIFOScheduler()
    return ASHAScheduler(
        time_attr=SEMI_EPOCH,
        max_t=space.base.semi.epochs,
        grace_period=FIRST_RUNG,
        reduction_factor=FACTOR,
    )
