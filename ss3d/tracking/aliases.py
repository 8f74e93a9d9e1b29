"""MLflow's aliases follow the ledger: what a crash left behind is repaired from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ss3d.errors import ServiceError
from ss3d.settings import Settings
from ss3d.store.protocol import Store
from ss3d.tracking.connection import mlflow_errors
from ss3d.tracking.ledger import Entry, Ledger, read_ledger
from ss3d.tracking.resolution import find_version

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION = "champion"
PREVIOUS = "previous"
CANDIDATE = "candidate"
"""Alias of a version from its registration until the ledger makes it the champion."""


def follow_ledger(store: Store, client: MlflowClient, model: str) -> list[str]:
    """Make the aliases of a model say what its ledger says.

    Whoever is late reads the ledger once more, so that the newest entry is shown in the end.

    Returns:
        What was changed or cannot be shown, for a person; empty if all was right.

    Raises:
        CheckpointError: an entry of the ledger is damaged.
    """
    changes: list[str] = []
    while True:
        ledger = read_ledger(store, model)
        if ledger.head is not None:
            changes += _follow(client, ledger, ledger.head)
        if read_ledger(store, model).number == ledger.number:
            return changes


def show_entry(store: Store, settings: Settings, client: MlflowClient, entry: Entry) -> None:
    """Make the aliases follow an entry that was just written.

    Raises:
        ServiceError: MLflow does not answer; says that the entry holds nevertheless.
    """
    try:
        with mlflow_errors(settings):
            follow_ledger(store, client, entry.model)
    except ServiceError as error:
        raise ServiceError(
            f"model {entry.model}: version {entry.version} is champion by the ledger, but MLflow "
            f"does not show it yet; `ss3d registry {entry.model}` repairs that. {error}"
        ) from error


def holds_version(client: MlflowClient, ledger: Ledger, version: int) -> bool:
    """Return whether MLflow has the version that the ledger means, and not another's number."""
    found = find_version(client, ledger.model, str(version))
    entry = ledger.promotion_of(version)
    if found is None or entry is None:
        return found is not None
    return entry.weights_sha256 in ("", found.tags.get("ss3d.weights_sha256"))


def aliases_of(client: MlflowClient, model: str) -> dict[str, int]:
    """Return the versions that a model's aliases point to; none if MLflow has no such model."""
    from mlflow.exceptions import MlflowException

    try:
        found = client.get_registered_model(model).aliases
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return {}
    return {alias: int(version) for alias, version in found.items()}


def _follow(client: MlflowClient, ledger: Ledger, head: Entry) -> list[str]:
    changes: list[str] = []
    shown = aliases_of(client, ledger.model)
    for alias, version in ((PREVIOUS, head.previous), (CHAMPION, head.version)):
        if version is None or shown.get(alias) == version:
            continue
        if not holds_version(client, ledger, version):
            changes.append(f"{alias}: version {version} of the ledger is not in this MLflow")
            continue
        client.set_registered_model_alias(ledger.model, alias, str(version))
        before = f"was version {shown[alias]}" if alias in shown else "was not set"
        changes.append(f"{alias}: {before}, is version {version} as the ledger says")
    if shown.get(CANDIDATE) == head.version:
        client.delete_registered_model_alias(ledger.model, CANDIDATE)
        changes.append(f"{CANDIDATE}: version {head.version} is the champion and no candidate")
    return changes
