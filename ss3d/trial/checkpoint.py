"""Saving and loading a trial's state: safetensors and JSON, no pickle."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch

from ss3d.config import TrialConfig
from ss3d.errors import CheckpointError
from ss3d.trial import files
from ss3d.trial.records import EpochReport
from ss3d.trial.state import (
    TrialState,
    Weights,
    build,
    load_weights,
    pretrain_optimizer,
    semi_optimizer,
)


def save_state(state: TrialState, directory: Path) -> None:
    """Write a checkpoint: one safetensors file per part, then state.json with their sha256.

    The directory appears in one step: it is written beside and renamed.
    """
    optimizer, hyper = files.flatten_optimizer(state.optimizer.state_dict())
    parts: dict[str, Weights] = {
        "student": dict(state.student.state_dict()),
        "best": state.best,
        "optimizer": optimizer,
    }
    if state.teacher is not None:
        parts["teacher"] = dict(state.teacher.state_dict())
    header: dict[str, Any] = {
        "config": state.config.model_dump(mode="json"),
        "phase": state.phase,
        "epoch": state.epoch,
        "best_epoch": state.best_epoch,
        "best_value": None if state.best_epoch == 0 else state.best_value,
        "pretrained_value": state.pretrained_value,
        "optimizer": hyper,
        "reports": [report.model_dump(mode="json") for report in state.reports],
    }
    files.write_checkpoint(directory, parts, header)


def load_state(directory: Path, device: torch.device) -> TrialState:
    """Read a checkpoint; running on from it gives the bits of an unbroken run.

    Raises:
        CheckpointError: a file is missing, damaged (sha256) or does not fit.
    """
    header, parts = files.read_checkpoint(directory)
    try:
        state = _assemble(header, parts, directory, device)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"checkpoint {directory} does not fit: {error}") from error
    return state


def _assemble(
    header: dict[str, Any], parts: dict[str, Weights], directory: Path, device: torch.device
) -> TrialState:
    config = TrialConfig.parse(header["config"])
    student, teacher = build(config, device), None
    load_weights(student, parts["student"], directory)
    if header["phase"] == "semi":
        teacher = copy.deepcopy(student).requires_grad_(False)
        load_weights(teacher, parts["teacher"], directory)
    fresh = pretrain_optimizer if teacher is None else semi_optimizer
    optimizer = fresh(config, student)
    optimizer.load_state_dict(files.unflatten_optimizer(parts["optimizer"], header["optimizer"]))
    return TrialState(
        config=config,
        student=student,
        teacher=teacher,
        optimizer=optimizer,
        phase=header["phase"],
        epoch=header["epoch"],
        best={name: tensor.to(device) for name, tensor in parts["best"].items()},
        best_epoch=header["best_epoch"],
        best_value=float("inf") if header["best_value"] is None else header["best_value"],
        pretrained_value=header["pretrained_value"],
        reports=[EpochReport.model_validate(report) for report in header["reports"]],
    )
