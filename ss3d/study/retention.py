"""Whose weights a study keeps, and sweeping those of its other trials.

A finished trial is kept whole or swept: its checkpoints go and its export is thinned to its
configuration and measurements, which tables and comparisons read. What says how it went (spec,
epochs, decisions, result) always stays, so it can be rerun and the study rebuilt.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from ss3d.errors import CheckpointError
from ss3d.report.leaderboard import leaderboard
from ss3d.store import layout
from ss3d.store.bundle import MANIFEST, restore_bundle, thin_bundle
from ss3d.store.fenced import FencedStore
from ss3d.store.lease import take_lease
from ss3d.store.protocol import Store
from ss3d.study.confirmation import confirmed_trials
from ss3d.study.inventory import delete_keys
from ss3d.trial.history import list_studies, load_readable, load_study_spec, read_object
from ss3d.trial.records import StudyRecord

THIN = ("config.json", "metrics.json")
"""What stays of a swept trial's export."""

log = logging.getLogger(__name__)

GarbageKind = Literal[
    "checkpoints",
    "weights",
    "pretrain",
    "control",
    "unread",
    "probe",
    "unfinished",
    "spool",
    "cache",
]
"""`unread`: checkpoints and exports of a shared state that lost to its complete one. `unfinished`:
what a killed writer left under no key."""

_CHECKPOINTS, _BEST = "checkpoints", "best"


@dataclass(frozen=True)
class Garbage:
    """What can go of one thing."""

    kind: GarbageKind
    name: str
    num_bytes: int


def promotions(store: Store) -> Iterable[Mapping[str, object]]:
    """Yield all entries of all ledgers: who is champion, was, or may be again by a rollback.

    Raises:
        CheckpointError: a ledger is damaged.
    """
    for key in store.list("registry/"):
        if "/ledger/" in key:
            blob = store.get(key)
            yield read_object(blob.data, key) if blob else {}


def referenced_trials(store: Store) -> set[tuple[str, str]]:
    """Return study and trial of all that were promoted, or run again by a confirmation.

    Raises:
        CheckpointError: a ledger or a study.json is damaged.
    """
    found = {(str(one.get("study")), str(one.get("trial"))) for one in promotions(store)}
    for study in list_studies(store):
        spec = load_study_spec(store, study)
        if confirms := spec.get("confirms"):
            found |= {(str(confirms), trial) for trial in confirmed_trials(spec)}
    return found


def kept_trials(study: StudyRecord, keep_best: int, referenced: set[tuple[str, str]]) -> set[str]:
    """Return the trials whose checkpoints and weights stay.

    Those are the best of each stratum, of several objectives the whole front, what is referenced,
    what has no result yet, and all of a confirmation.

    Args:
        study: with its trials.
        keep_best: how many of each stratum.
        referenced: as `referenced_trials` returns them.
    """
    names = {trial.spec.trial for trial in study.trials}
    if study.spec.get("confirms"):
        return names
    best = {
        row.trial
        for row in leaderboard(study)
        if row.front == 1 or (row.rank is not None and row.rank <= keep_best)
    }
    running = {trial.spec.trial for trial in study.trials if trial.result is None}
    return best | running | {trial for trial in names if (study.name, trial) in referenced}


def find_swept(
    store: Store, study: str, keep_best: int, referenced: set[tuple[str, str]]
) -> list[Garbage]:
    """Return what `sweep_study` would remove; a trial that cannot be read is left alone.

    Raises:
        ConfigError: there is no such study.
        CheckpointError: its study.json is damaged.
    """
    sizes = store.sizes(layout.study(study) + "/")
    _, doomed = _mark(store, study, keep_best, referenced, sizes)
    return _as_garbage(study, doomed, sizes)


def sweep_study(store: Store, study: str, keep_best: int) -> list[Garbage]:
    """Remove checkpoints and weights of the trials that a study does not keep.

    Its driver's lease is ours meanwhile. Manifests go first; then promotions are read again, and
    what was promoted since has its own back; files go last. A sweep that was killed in between
    is finished by the next one.

    Args:
        store: where the study is.
        study: its name.
        keep_best: how many trials of each stratum are kept.

    Returns:
        What is gone.

    Raises:
        RefusedError: a driver runs the study.
        CheckpointError: its study.json or a ledger is damaged.
    """
    with take_lease(store, layout.study(study, "driver.lease"), f"study {study}") as lease:
        fenced = FencedStore(store, lease)
        sizes = store.sizes(layout.study(study) + "/")
        kept, doomed = _mark(store, study, keep_best, referenced_trials(store), sizes)
        for trial in kept:
            _restore(fenced, study, trial, sizes)
        for trial in list(doomed):
            if not _thin(fenced, study, trial, sizes):
                del doomed[trial]
        since = referenced_trials(store)
        for trial in [trial for trial in doomed if (study, trial) in since]:
            _restore(fenced, study, trial, sizes)
            del doomed[trial]
        delete_keys(fenced, [key for keys in doomed.values() for key in keys])
    return _as_garbage(study, doomed, sizes)


def _mark(
    store: Store,
    study: str,
    keep_best: int,
    referenced: set[tuple[str, str]],
    sizes: Mapping[str, int],
) -> tuple[set[str], dict[str, list[str]]]:
    """Return the trials that are kept, and what goes of each of the others."""
    record, _ = load_readable(store, study)
    kept = kept_trials(record, keep_best, referenced)
    doomed: dict[str, list[str]] = {
        trial.spec.trial: [] for trial in record.trials if trial.spec.trial not in kept
    }
    stay = (MANIFEST, *THIN)
    for key in sizes:
        _, _, *place = key.split("/")
        if place[0] != "trials" or place[1] not in doomed:
            continue
        if place[2] == _CHECKPOINTS or (place[2] == _BEST and "/".join(place[3:]) not in stay):
            doomed[place[1]].append(key)
    return kept, {trial: keys for trial, keys in doomed.items() if keys}


def _thin(store: Store, study: str, trial: str, sizes: Mapping[str, int]) -> bool:
    """Let an export hold nothing but measurements; return False if that is damaged: it stays."""
    prefix = layout.trial(study, trial, _BEST)
    try:
        if f"{prefix}/{MANIFEST}" in sizes:
            thin_bundle(store, prefix, THIN)
    except CheckpointError as error:
        log.warning("%s/%s is left as it is: %s", study, trial, error)
        return False
    return True


def _restore(store: Store, study: str, trial: str, sizes: Mapping[str, int]) -> None:
    """Undo what a sweep that was killed began, or one that a promotion came before."""
    prefix = layout.trial(study, trial, _BEST)
    if f"{prefix}/{MANIFEST}" in sizes:
        with suppress(CheckpointError):  # damaged already: none of ours to repair
            restore_bundle(store, prefix)


def _as_garbage(
    study: str, doomed: Mapping[str, list[str]], sizes: Mapping[str, int]
) -> list[Garbage]:
    found: list[Garbage] = []
    for trial, keys in doomed.items():
        prefix = layout.trial(study, trial, _CHECKPOINTS) + "/"
        parts: dict[GarbageKind, list[str]] = {
            "checkpoints": [key for key in keys if key.startswith(prefix)],
            "weights": [key for key in keys if not key.startswith(prefix)],
        }
        found += [
            Garbage(kind, f"{study}/{trial}", sum(sizes[key] for key in part))
            for kind, part in parts.items()
            if part
        ]
    return found
