"""Where the time of a trial goes: one epoch under torch's profiler, as a trace and a table."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from ss3d.errors import ConfigError, ServiceError
from ss3d.training.numerics import apply_numerics
from ss3d.training.pretrain import pretrain_epoch
from ss3d.training.semi import semi_epoch
from ss3d.trial.records import Phase
from ss3d.trial.run import run_trial, validate
from ss3d.trial.state import TrialState

if TYPE_CHECKING:
    from ss3d.data.loader import TrialData

MOST_STEPS = 3
"""A step has tens of thousands of events; viewers do not open a trace of many."""
TRACE = "trace.json"
_ERRORS_ONLY = "6"
"""Of the profiler's library, which else reports its start, and on a machine without a GPU that."""


@dataclass(frozen=True)
class Operation:
    """One operation of the traced steps: its own time, without that of the operations it calls."""

    name: str
    calls: int
    cpu_s: float
    gpu_s: float


@dataclass(frozen=True)
class Profile:
    """What was measured of an epoch."""

    phase: Phase
    epoch: int
    steps: int
    """Of the epoch, all of them."""
    step_s: float
    """Seconds of a step, without the profiler."""
    validation_s: float
    traced_steps: int
    operations: tuple[Operation, ...]
    """The dearest first."""


def profile_epoch(state: TrialState, data: TrialData, directory: Path) -> Profile:
    """Profile the next epoch that trains: `MOST_STEPS` of its steps in a trace, and all by clock.

    A step before them is not counted. The state is used up: it is no epoch of the trial.

    Args:
        state: at the start of a phase, or of a checkpoint.
        data: of its configuration.
        directory: of `trace.json`, which Chrome's tracing page and Perfetto open.

    Raises:
        ConfigError: no epoch is left that trains.
        ServiceError: the directory cannot be written.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", _ERRORS_ONLY)
    apply_numerics(state.config.numerics)
    state.begin_epoch()
    if state.epoch < 0:
        next(run_trial(state, data))  # the pretrained value; no step belongs to it
    if state.finished:
        raise ConfigError("--profile: the trial has no teacher-student epoch; add --own-pretrain")
    epoch, traced = state.epoch_steps(), state.epoch_steps()[:MOST_STEPS]
    _train(state, data, traced[:1])
    train_s = _seconds(lambda: _train(state, data, traced))
    validation_s = _seconds(lambda: validate(state, data))
    activities = [ProfilerActivity.CPU]
    if state.device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as found:
        _train(state, data, traced)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        found.export_chrome_trace(str(directory / TRACE))
    except (OSError, RuntimeError) as error:
        raise ServiceError(f"--profile: cannot write {directory / TRACE}: {error}") from error
    return Profile(
        phase=state.phase,
        epoch=state.epoch + 1,
        steps=len(epoch),
        step_s=train_s / len(traced),
        validation_s=validation_s,
        traced_steps=len(traced),
        operations=_operations(found),
    )


def _seconds(work: Callable[[], object]) -> float:
    """Return how long something takes whose result waits for the device."""
    started = perf_counter()
    work()
    return perf_counter() - started


def _train(state: TrialState, data: TrialData, steps: range) -> None:
    config = state.config
    if state.teacher is None:
        pretrain_epoch(state.student, state.optimizer, data, config.pretrain, steps)
    else:
        semi_epoch(state.student, state.teacher, state.optimizer, data, config.semi, steps)


def _operations(found: profile) -> tuple[Operation, ...]:
    """Return what was called, the dearest first; the kernels of a GPU count by who called them."""
    operations = [
        Operation(
            str(one.key), one.count, one.self_cpu_time_total / 1e6, one.self_device_time_total / 1e6
        )
        for one in found.key_averages()
        if one.device_type == DeviceType.CPU
    ]
    return tuple(sorted(operations, key=lambda one: (-one.gpu_s, -one.cpu_s)))
