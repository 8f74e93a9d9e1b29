"""How long a step of each phase takes here, and how large what a trial leaves is: measured."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import torch

from ss3d.config import TrialConfig
from ss3d.training.numerics import apply_numerics
from ss3d.training.pretrain import pretrain_epoch
from ss3d.training.semi import semi_epoch
from ss3d.trial.checkpoint import save_state
from ss3d.trial.export import export_best
from ss3d.trial.run import measure_system, validate
from ss3d.trial.state import TrialState, new_state

if TYPE_CHECKING:
    from ss3d.data.loader import TrialData

_ENOUGH_S = 0.5
"""Seconds of warm steps that are timed, if so many fit."""
_MOST_STEPS = 10
_LR = 1e-6
"""Of the probe: a rate that makes a trial diverge costs as much per step as any other."""


@dataclass(frozen=True)
class PhaseProbe:
    """One phase of a trial."""

    step_s: float
    """Seconds of an optimiser step."""
    check_s: float
    """Seconds of the validation that ends an epoch."""
    save_s: float
    """Seconds of a checkpoint, which count as wall clock only."""
    checkpoint_bytes: int


@dataclass(frozen=True)
class Probe:
    """What was measured of one configuration."""

    pretrain: PhaseProbe
    semi: PhaseProbe
    control_step_s: float
    """Seconds of a step that sees no unlabelled image."""
    export_s: float
    export_bytes: int
    """Of the best weights with their previews."""
    report_bytes: int
    """Of one epoch's report."""
    peak_bytes: int = 0
    """That PyTorch had reserved at most of the GPU's memory; 0 on the CPU."""


def probe(
    config: TrialConfig, data: TrialData, weights: Path | None, device: torch.device
) -> Probe:
    """Train a few steps of each phase, evaluate, save and export, and time all of it.

    Args:
        config: of a trial; its learning rates are not used.
        data: what it trains on.
        weights: file of the backbone's weights, or None.
        device: where it trains.

    Raises:
        ServiceError: the disk is full.
    """
    config = config.override({"pretrain.lr": _LR, "semi.lr": _LR})
    apply_numerics(config.numerics)
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    state = new_state(config, weights, device)
    pretrain = _phase(
        state,
        data,
        config.pretrain.steps,
        lambda n: pretrain_epoch(state.student, state.optimizer, data, config.pretrain, range(n)),
    )
    state.epoch = config.pretrain.epochs
    state.begin_epoch()
    semi = _phase(state, data, config.semi.steps, lambda n: _semi(state, data, config, n))
    supervised = config.control()
    with tempfile.TemporaryDirectory() as folder:
        started = perf_counter()
        export_best(state, data, Path(folder))
        export_s, export_bytes = perf_counter() - started, _size(Path(folder))
    return Probe(
        pretrain=pretrain,
        semi=semi,
        control_step_s=_step_s(lambda n: _semi(state, data, supervised, n), config.semi.steps),
        export_s=export_s,
        export_bytes=export_bytes,
        report_bytes=_report_bytes(state, data, _semi(state, data, config, 1)),
        peak_bytes=torch.cuda.max_memory_reserved(device) if device.type == "cuda" else 0,
    )


def _phase(
    state: TrialState, data: TrialData, steps: int, train: Callable[[int], object]
) -> PhaseProbe:
    step_s = _step_s(train, steps)
    started = perf_counter()
    validate(state, data)
    check_s = perf_counter() - started
    with tempfile.TemporaryDirectory() as folder:
        started = perf_counter()
        save_state(state, Path(folder) / "checkpoint")
        save_s = perf_counter() - started
        return PhaseProbe(step_s, check_s, save_s, _size(Path(folder)))


def _semi(state: TrialState, data: TrialData, config: TrialConfig, count: int) -> dict[str, float]:
    assert state.teacher is not None
    steps = range(count)
    return semi_epoch(state.student, state.teacher, state.optimizer, data, config.semi, steps)


def _step_s(train: Callable[[int], object], steps: int) -> float:
    """Return the seconds of a warm step; the means that a call returns wait for the device."""
    train(1)
    first = _seconds(train, 1)
    count = min(steps, _MOST_STEPS, int(_ENOUGH_S / first))
    return _seconds(train, count) / count if count > 1 else first


def _seconds(train: Callable[[int], object], count: int) -> float:
    started = perf_counter()
    train(count)
    return perf_counter() - started


def _report_bytes(state: TrialState, data: TrialData, train: dict[str, float]) -> int:
    values, per_model = validate(state, data)
    report = state.epoch_done(train | values, measure_system(state, 0.0), per_model)
    return len(json.dumps(report.model_dump(mode="json")))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
