"""Promotion: a trained network becomes a version of a registered model and its champion."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ss3d.settings import Settings
from ss3d.store import layout
from ss3d.store.protocol import Store
from ss3d.tracking.candidate import directory_candidate, trial_candidate
from ss3d.tracking.gates import OPEN
from ss3d.tracking.proposal import propose
from ss3d.tracking.registration import register
from ss3d.tracking.resolution import resolve_model

__all__ = ["promote", "promote_directory", "resolve_model"]


def promote(
    store: Store,
    settings: Settings,
    study: str,
    trial: str | None,
    model_name: str,
    where: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Register a trial's best weights as the champion of a model; no gate is asked.

    Args:
        store: where the study is.
        settings: where MLflow is.
        study: name.
        trial: id; None takes the best complete trial by the study's objective.
        model_name: of the registered model, made if there is none.
        where: parameter values that name one stratum of a study with several.

    Returns:
        As `register`.

    Raises:
        ConfigError: a name is not valid, or there is no such study or trial.
        RefusedError: the trial is not complete, the stratum is open, or somebody else promoted.
        CheckpointError: the trial's best weights are damaged.
        ServiceError: MLflow does not answer.
    """
    layout.check_model_name(model_name)
    with trial_candidate(store, study, trial, where or {}) as candidate:
        return register(store, settings, propose(store, candidate, model_name, OPEN))


def promote_directory(
    store: Store, settings: Settings, directory: Path, model_name: str
) -> dict[str, Any]:
    """Register what `ss3d train` left in a directory as the champion of a model; no gate is asked.

    Returns:
        As `register`; `study` is None and `trial` is the directory.

    Raises:
        ConfigError: the model's name is not valid.
        RefusedError: somebody else promoted.
        CheckpointError: the directory holds no exported network.
        ServiceError: MLflow does not answer.
    """
    layout.check_model_name(model_name)
    candidate = directory_candidate(directory)
    return register(store, settings, propose(store, candidate, model_name, OPEN))
