"""Back to the version that was champion before, as one more entry of the ledger."""

from __future__ import annotations

from typing import Any

from ss3d.errors import RefusedError
from ss3d.settings import Settings
from ss3d.store.protocol import Store
from ss3d.tracking.aliases import follow_ledger, holds_version, show_entry
from ss3d.tracking.connection import mlflow_errors, open_client
from ss3d.tracking.ledger import Entry, Ledger, append_entry, known_ledger


def roll_back(store: Store, settings: Settings, model: str, reason: str = "") -> dict[str, Any]:
    """Make the previous version the champion, and the champion the previous one.

    So a second rollback takes back the first.

    Args:
        store: of the ledger.
        settings: where MLflow is.
        model: registered model.
        reason: kept in the ledger.

    Returns:
        `model`, `version`, `alias`, `study`, `trial` and `previous` as they are now, and
        `repaired`: what an earlier crash had left.

    Raises:
        ConfigError: the name is not valid, or there is no such model.
        RefusedError: there is no previous version, it is gone from MLflow, or somebody else
            promoted or rolled back at the same time.
        ServiceError: MLflow does not answer.
    """
    ledger, head = known_ledger(store, model)
    client = open_client(settings)
    with mlflow_errors(settings):
        repaired = follow_ledger(store, client, model)
        target = _target(ledger, head)
        if not holds_version(client, ledger, target.version):
            raise RefusedError(
                f"model {model}: its previous version {target.version} is not in this MLflow; "
                f"promote {target.origin} again"
            )
        entry = target.model_copy(
            update={
                "action": "rollback",
                "at": store.now(),
                "previous": head.version,
                "gates": (),
                "forced": False,
                "reason": reason,
            }
        )
        append_entry(store, ledger, entry)
    show_entry(store, settings, client, entry)
    return entry.outcome(repaired)


def _target(ledger: Ledger, head: Entry) -> Entry:
    """Return the promotion of the version that was champion before."""
    found = None if head.previous is None else ledger.promotion_of(head.previous)
    if found is None:
        raise RefusedError(
            f"model {ledger.model}: version {head.version} is its only champion so far; there is "
            "no previous one"
        )
    return found
