"""What is known of registered models: the ledger's history beside MLflow's versions."""

from __future__ import annotations

from typing import Any

from ss3d.errors import ServiceError
from ss3d.settings import Settings
from ss3d.store.protocol import Store
from ss3d.tracking.aliases import aliases_of, follow_ledger
from ss3d.tracking.connection import mlflow_errors, open_client
from ss3d.tracking.ledger import known_ledger, list_models, read_ledger


def champions(store: Store) -> list[dict[str, Any]]:
    """Return the champion of every model and since when, from the ledgers alone.

    Raises:
        CheckpointError: a ledger is damaged.
    """
    heads = [read_ledger(store, name).head for name in list_models(store)]
    return [
        {
            "model": head.model,
            "version": head.version,
            "origin": head.origin,
            "cd_l1": head.cd_l1,
            "since": head.at,
            "reason": head.reason,
        }
        for head in heads
        if head is not None
    ]


def history(store: Store, settings: Settings, model: str) -> dict[str, Any]:
    """Return who was champion of a model when and why; repair what a crash left in MLflow.

    Returns:
        `model`; `entries` of the ledger in order, each with the time `until` which it held or None;
        MLflow's `versions` and `aliases`; `repaired`; and `problem`, why MLflow could not be asked,
        or an empty text.

    Raises:
        ConfigError: the name is not valid, or there is no such model.
        CheckpointError: the ledger is damaged.
    """
    ledger, _ = known_ledger(store, model)
    ends = [entry.at for entry in ledger.entries[1:]]
    entries = [
        entry.model_dump(mode="json") | {"origin": entry.origin, "until": until}
        for entry, until in zip(ledger.entries, [*ends, None], strict=True)
    ]
    value: dict[str, Any] = {"model": model, "entries": entries}
    try:
        return value | _in_mlflow(store, settings, model)
    except ServiceError as error:
        return value | {"versions": [], "aliases": {}, "repaired": [], "problem": str(error)}


def _in_mlflow(store: Store, settings: Settings, model: str) -> dict[str, Any]:
    client = open_client(settings)
    with mlflow_errors(settings):
        repaired = follow_ledger(store, client, model)
        aliases = aliases_of(client, model)
        found = client.search_model_versions(f"name = '{model}'")
        versions = [
            {
                "version": int(one.version),
                "origin": one.tags.get("ss3d.trial", ""),
                "cd_l1": float(one.tags.get("ss3d.cd_l1", "nan")),
                "aliases": sorted(a for a, v in aliases.items() if v == int(one.version)),
                "created_at": one.creation_timestamp / 1000,
            }
            for one in sorted(found, key=lambda one: int(one.version))
        ]
    return {"versions": versions, "aliases": aliases, "repaired": repaired, "problem": ""}
