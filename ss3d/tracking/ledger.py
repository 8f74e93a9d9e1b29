"""A registered model's ledger: who was champion when, and why. MLflow's aliases only show it."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from typing import Any, Literal

from ss3d.errors import CheckpointError, ConfigError, ConflictError, RefusedError
from ss3d.store import layout
from ss3d.store.protocol import Store
from ss3d.trial.records import Record


class Answer(Record):
    """What a gate says of a candidate."""

    gate: str
    passed: bool
    got: str
    expected: str
    advice: str = ""
    """What to do where it is closed."""


class Entry(Record):
    """One change of champion."""

    action: Literal["promote", "rollback"]
    at: float
    """By the store's clock."""
    model: str
    version: int
    """Champion from here on."""
    alias: Literal["champion"] = "champion"
    previous: int | None
    """Champion until here; None if there was none."""
    study: str | None
    """None for what `ss3d train` left in a directory."""
    trial: str
    """`t00017`, or that directory."""
    weights_sha256: str = ""
    metrics_sha256: str = ""
    """Of what the export measured, kept under `layout.promoted_metrics`."""
    cd_l1: float | None = None
    data_hash: str = ""
    gates: tuple[Answer, ...] = ()
    forced: bool = False
    """A gate was closed."""
    reason: str = ""

    @property
    def origin(self) -> str:
        """Return `study/t00017`, or the directory of `ss3d train`."""
        return self.trial if self.study is None else f"{self.study}/{self.trial}"

    def outcome(self, repaired: list[str]) -> dict[str, Any]:
        """Return what commands say of the change that it made.

        Args:
            repaired: what an earlier crash had left.
        """
        names = {"model", "version", "alias", "study", "trial", "previous"}
        return self.model_dump(include=names) | {"repaired": repaired}


@dataclass(frozen=True)
class Ledger:
    """All entries of a model as far as they were there when it was read."""

    model: str
    number: int
    """Of the last entry; 0 if there is none."""
    entries: tuple[Entry, ...]

    @property
    def head(self) -> Entry | None:
        """Return the last entry: it says who is champion and who was before."""
        return self.entries[-1] if self.entries else None

    def promotion_of(self, version: int) -> Entry | None:
        """Return the newest entry that promoted a version."""
        found = [e for e in self.entries if e.action == "promote" and e.version == version]
        return found[-1] if found else None


def read_ledger(store: Store, model: str) -> Ledger:
    """Return a model's ledger, empty if it was never promoted to.

    Raises:
        CheckpointError: an entry is damaged.
    """
    entries: list[Entry] = []
    number = 0
    for key in list(store.list(layout.ledger(model) + "/")):
        blob = store.get(key)
        if blob is None:
            raise CheckpointError(f"{key} is gone; entries of a ledger are never removed")
        try:
            number = int(key.rpartition("/")[2][:6])  # the first ones were called 000001-promote
            entries.append(Entry.from_json(blob.data))
        except (ValueError, CheckpointError) as error:
            raise CheckpointError(f"{key}: {error}") from error
    return Ledger(model, number, tuple(entries))


def known_ledger(store: Store, model: str) -> tuple[Ledger, Entry]:
    """Return the ledger of a model that was promoted to, and its last entry.

    Raises:
        ConfigError: the name is not valid, or there is no such model.
        CheckpointError: an entry is damaged.
    """
    ledger = read_ledger(store, layout.check_model_name(model))
    if (head := ledger.head) is None:
        known = ", ".join(list_models(store)) or "none"
        raise ConfigError(f"model {model!r}: was never promoted to; there are: {known}")
    return ledger, head


def append_entry(store: Store, ledger: Ledger, entry: Entry) -> None:
    """Write the entry that follows a ledger: the moment at which the champion changes.

    Raises:
        RefusedError: somebody else wrote one since the ledger was read.
    """
    try:
        store.put_new(layout.ledger_entry(ledger.model, ledger.number + 1), entry.to_json())
    except ConflictError as error:
        now = read_ledger(store, ledger.model).head
        who = f": version {now.version} ({now.origin}) is champion now" if now else ""
        raise RefusedError(
            f"model {ledger.model}: another promotion or rollback came first{who}. "
            "Compare with it by `ss3d promote … --dry-run`, then try again"
        ) from error


def keep_metrics(store: Store, model: str, data: bytes) -> str:
    """Keep what a promoted network's export measured, for comparisons with later candidates.

    Args:
        store: of the ledger.
        model: registered model.
        data: the export's metrics.json.

    Returns:
        The sha256 of the bytes, under which they are kept.
    """
    sha256 = hashlib.sha256(data).hexdigest()
    with contextlib.suppress(ConflictError):  # the same bytes are there
        store.put_new(layout.promoted_metrics(model, sha256), data)
    return sha256


def list_models(store: Store) -> list[str]:
    """Return the names of all models that have a ledger, in order."""
    keys = (key.split("/") for key in store.list("registry/"))
    return sorted({parts[1] for parts in keys if parts[2] == "ledger"})
