"""From how a user names a model to a local directory with its weights."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from ss3d.errors import ConfigError, Ss3dError
from ss3d.settings import Settings
from ss3d.store import layout
from ss3d.store.bundle import bundle_exists, get_bundle
from ss3d.store.opening import open_store
from ss3d.tracking.connection import mlflow_errors, open_client
from ss3d.tracking.packaging import WEIGHTS, network_directory
from ss3d.trial.history import load_trial_record, trial_export

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

_REGISTERED = re.compile(r"models:/(?P<name>[^/@]+)(@(?P<alias>[^/@]+)|/(?P<version>\d+))")


def resolve_model(settings: Settings, uri: str) -> Path:
    """Return a local directory with student.safetensors, config.json and metrics.json.

    Args:
        settings: where store, tracking and cache are.
        uri: `models:/NAME@champion`, `models:/NAME/3`, `STUDY/t00017`, or a directory of
            `ss3d train`, of an exported network, or of a downloaded model.

    Raises:
        ConfigError: there is no such model, version, trial or directory.
        CheckpointError: its files are damaged or not complete.
        ServiceError: MLflow or the store does not answer.
    """
    if match := _REGISTERED.fullmatch(uri):
        name = layout.check_model_name(match["name"])
        return _download(settings, name, match["alias"], match["version"])
    for directory in (Path(uri) / "best", Path(uri) / "data" / WEIGHTS, Path(uri)):
        if (directory / "student.safetensors").is_file():
            return directory
    if Path(uri).is_dir():
        raise ConfigError(f"model: the directory {uri} holds no student.safetensors")
    try:
        study, trial = layout.split_trial_path(uri)
    except ConfigError as error:
        raise ConfigError(
            f"model: got {uri!r}, expected models:/NAME@champion, models:/NAME/3, STUDY/t00017 "
            "or a directory of `ss3d train`"
        ) from error
    return _fetch(settings, study, trial)


def version_of_alias(client: MlflowClient, name: str, alias: str) -> ModelVersion | None:
    """Return the version of a model that an alias points to, or None."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in _ABSENT:
            return None
        raise


_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""MLflow's codes for: no such model, no such version, no such alias."""


def _download(settings: Settings, name: str, alias: str | None, version: str | None) -> Path:
    """Return the network of a registered version; remote artifacts are copied into the cache."""
    from mlflow.artifacts import download_artifacts

    client = open_client(settings)
    with mlflow_errors(settings):
        found = (
            find_version(client, name, version)
            if version
            else version_of_alias(client, name, alias or "")
        )
        if found is None:
            raise _unknown(client, name, f"alias {alias}" if alias else f"version {version}")
        target = settings.cache_dir / "models" / name / str(found.version)
        is_local = (found.source or "").startswith("file:")
        target.mkdir(parents=True, exist_ok=True)
        model = download_artifacts(
            artifact_uri=found.source,
            dst_path=None if is_local else str(target),
            tracking_uri=settings.tracking_uri,
            registry_uri=settings.tracking_uri,
        )
        return network_directory(Path(model))


def find_version(client: MlflowClient, name: str, version: str) -> ModelVersion | None:
    """Return a version of a model by its number, or None."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version(name, version)
    except MlflowException as error:
        if error.error_code in _ABSENT:
            return None
        raise


def _unknown(client: MlflowClient, name: str, what: str) -> Ss3dError:
    """Return the error for a model or version that is not registered, with what is."""
    known = sorted(model.name for model in client.search_registered_models())
    if name not in known:
        return ConfigError(
            f"model {name!r}: not registered; there are: {', '.join(known) or 'none'}"
        )
    model = client.get_registered_model(name)
    aliases = ", ".join(f"{alias} = {v}" for alias, v in sorted(model.aliases.items()))
    return ConfigError(f"model {name!r}: has no {what}; its aliases: {aliases or 'none'}")


def _fetch(settings: Settings, study: str, trial: str) -> Path:
    """Return the best weights of a trial, copied from the store into the cache."""
    store = open_store(settings.store_address)
    record = load_trial_record(store, study, trial)
    best = trial_export(store, study, trial)
    if not bundle_exists(store, best) and record.state != "complete":
        raise ConfigError(
            f"trial {study}/{trial}: has no weights, for it is {record.state}; expected a complete "
            f"trial, see `ss3d trials {study}`"
        )
    target = settings.cache_dir / "models" / study / trial
    shutil.rmtree(target, ignore_errors=True)
    get_bundle(store, best, target)
    return target
