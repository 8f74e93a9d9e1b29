"""Removing a study, so that a kill between any two deletions leaves a study that can be read.

The newest trial goes first. Of a trial its result goes first and its spec last: without a result
it counts as running, and would be trained anew by a resume; without a spec there is no trial.
study.json goes after all trials, so that nobody takes the name while any of them is left. A second
`delete` finishes what a first one began.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from ss3d.errors import RefusedError
from ss3d.store import layout
from ss3d.store.bundle import MANIFEST
from ss3d.store.lease import is_held, take_lease
from ss3d.store.protocol import Store
from ss3d.study.inventory import total_bytes
from ss3d.study.retention import promotions
from ss3d.trial.history import load_study_spec

_LEASE = "driver.lease"


@dataclass(frozen=True)
class Remains:
    """What the store has of a study."""

    study: str
    num_trials: int
    num_objects: int
    num_bytes: int


def measure_study(store: Store, study: str) -> Remains:
    """Return how much a deletion would remove.

    Raises:
        ConfigError: the store has nothing of such a study.
        RefusedError: a driver runs it, or one of its trials was promoted.
        CheckpointError: a ledger is damaged.
    """
    keys = list(store.list(layout.study(study) + "/"))
    if not keys:
        load_study_spec(store, study)
    _check_ledgers(store, study)
    if is_held(store, layout.study(study, _LEASE)):
        raise RefusedError(
            f"study {study}: a driver runs it; stop that one first (`ss3d stop {study}`)"
        )
    trials = {key.split("/")[3] for key in keys if key.split("/")[2] == "trials"}
    return Remains(study, len(trials), len(keys), total_bytes(store, keys))


def delete_study(store: Store, study: str) -> Remains:
    """Remove all objects of a study; what its trials shared with others stays.

    Returns:
        What there was.

    Raises:
        ConfigError: the store has nothing of such a study.
        RefusedError: a driver runs it, or one of its trials was promoted.
        CheckpointError: a ledger is damaged.
    """
    remains = measure_study(store, study)
    lease = layout.study(study, _LEASE)
    lost = threading.Event()
    with take_lease(store, lease, f"study {study}", on_lost=lost.set):
        for key in deletion_order(study, store.list(layout.study(study) + "/")):
            if lost.is_set():
                raise RefusedError(f"study {study} was taken by a driver while it was deleted")
            store.delete(key)
        store.delete(lease)
    return remains


def deletion_order(study: str, keys: Iterable[str]) -> list[str]:
    """Return the objects of a study in the order of their removal, but for the driver's lease."""
    prefix = layout.study(study) + "/"
    by_trial: dict[str, list[str]] = {}
    others: list[str] = []
    for key in keys:
        parts = key.removeprefix(prefix).split("/")
        if parts[0] == "trials":
            by_trial.setdefault(parts[1], []).append(key)
        elif parts[0] == "decisions":
            by_trial.setdefault(parts[1].partition("-")[0], []).append(key)
        elif parts != [_LEASE]:
            others.append(key)
    newest_first = sorted(by_trial, key=lambda trial: (len(trial), trial), reverse=True)
    ordered = [key for trial in newest_first for key in sorted(by_trial[trial], key=_place)]
    return ordered + sorted(others, key=lambda key: key == f"{prefix}study.json")


def _place(key: str) -> int:
    """Return when an object of a trial goes: an export is never gone from a complete trial."""
    name = key.rpartition("/")[2]
    if name in ("result.json", "spec.json"):
        return 0 if name == "result.json" else 4
    if "/epochs/" in key:
        return 1  # the last of them says that the trial is complete
    return 2 if name == MANIFEST else 3


def _check_ledgers(store: Store, study: str) -> None:
    """Refuse to remove what a registered model came from."""
    for entry in promotions(store):
        if entry.get("study") == study:
            raise RefusedError(
                f"study {study}: its trial {entry.get('trial')} is version {entry.get('version')} "
                f"of model {entry.get('model')}, whose origin would be lost; a promoted study stays"
            )
