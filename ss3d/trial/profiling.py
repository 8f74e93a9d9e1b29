"""Where the time of a trial goes: one epoch under torch's profiler, as a trace and a table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile, record_function

from ss3d.errors import ServiceError
from ss3d.training.numerics import apply_numerics
from ss3d.training.pretrain import pretrain_epoch
from ss3d.training.semi import semi_epoch
from ss3d.trial.records import Phase
from ss3d.trial.run import run_trial, validate
from ss3d.trial.state import TrialState

if TYPE_CHECKING:
    from torch.autograd.profiler_util import FunctionEventAvg

    from ss3d.data.loader import TrialData

MOST_STEPS = 10
"""A trace of more is larger than what viewers open."""
TRACE = "trace.json"
_PARTS = ("train", "validate")


@dataclass(frozen=True)
class Operation:
    """One operation of an epoch: its own time, without that of the operations it calls."""

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
    seconds: dict[str, float]
    """Of training and validation, on the host's clock and with the profiler's own cost."""
    operations: tuple[Operation, ...]
    """The dearest first."""


def profile_epoch(state: TrialState, data: TrialData, directory: Path) -> Profile:
    """Profile the next epoch that trains: its first `MOST_STEPS` steps and its validation.

    A step before them is not counted. The state is used up: it is no epoch of the trial.

    Args:
        state: at the start of a phase, or of a checkpoint.
        data: of its configuration.
        directory: of `trace.json`, which Chrome's tracing page and Perfetto open.

    Raises:
        ServiceError: the directory cannot be written.
    """
    apply_numerics(state.config.numerics)
    state.begin_epoch()
    if state.epoch < 0:
        next(run_trial(state, data))  # the pretrained value; no step belongs to it
    steps = state.epoch_steps()[:MOST_STEPS]
    _train(state, data, steps[:1])
    activities = [ProfilerActivity.CPU]
    if state.device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as found:
        with record_function("train"):
            _train(state, data, steps)
        with record_function("validate"):
            validate(state, data)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        found.export_chrome_trace(str(directory / TRACE))
    except (OSError, RuntimeError) as error:
        raise ServiceError(f"--profile: cannot write {directory / TRACE}: {error}") from error
    averages = list(found.key_averages())
    parts = {one.key: one.cpu_time_total / 1e6 for one in averages if _is_part(one)}
    return Profile(
        phase=state.phase,
        epoch=state.epoch + 1,
        steps=len(steps),
        seconds={name: parts[name] for name in _PARTS},
        operations=_operations(averages),
    )


def _train(state: TrialState, data: TrialData, steps: range) -> None:
    config = state.config
    if state.teacher is None:
        pretrain_epoch(state.student, state.optimizer, data, config.pretrain, steps)
    else:
        semi_epoch(state.student, state.teacher, state.optimizer, data, config.semi, steps)


def _operations(averages: list[FunctionEventAvg]) -> tuple[Operation, ...]:
    """Return what was called, the dearest first; the kernels of a GPU count by who called them."""
    found = [
        Operation(
            str(one.key), one.count, one.self_cpu_time_total / 1e6, one.self_device_time_total / 1e6
        )
        for one in averages
        if one.device_type == DeviceType.CPU and not _is_part(one)
    ]
    return tuple(sorted(found, key=lambda one: (-one.gpu_s, -one.cpu_s)))


def _is_part(one: FunctionEventAvg) -> bool:
    return one.key in _PARTS and one.device_type == DeviceType.CPU
