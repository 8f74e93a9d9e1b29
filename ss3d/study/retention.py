"""Whose weights a study keeps, and sweeping those of its other trials.

A finished trial is kept whole or swept: its checkpoints go and its export is thinned to its
configuration and measurements, which tables and comparisons read. What says how it went (spec,
epochs, decisions, result) always stays, so it can be rerun and the study rebuilt.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, NamedTuple

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
"""`unread`: checkpoints and exports of a shared state that lost to its complete one, and exports of
attempts at a trial that its result does not name. `unfinished`: what a killed writer left under no
key."""

_CHECKPOINTS, _BEST = "checkpoints", "best"
_TRIALS = re.compile(
    r"studies/[^/]+/trials/(?P<trial>[^/]+)/(?P<part>[^/]+)/((?P<attempt>a\d+)/)?(?P<name>.+)"
)


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
    return _as_garbage(study, _mark(store, study, keep_best, referenced, sizes), sizes)


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
        exports = _exports(sizes)
        marked = _mark(store, study, keep_best, referenced_trials(store), sizes)
        for trial in marked.kept:
            _restore(fenced, exports.get(trial, ()))
        for trial in list(marked.doomed):
            if not _thin(fenced, exports.get(trial, ())):
                del marked.doomed[trial]
        since = referenced_trials(store)
        for trial in [trial for trial in marked.doomed if (study, trial) in since]:
            _restore(fenced, exports.get(trial, ()))
            del marked.doomed[trial]
        keys = [*marked.doomed.values(), *marked.lost.values()]
        delete_keys(fenced, [key for found in keys for key in found])
    return _as_garbage(study, marked, sizes)


class _Marked(NamedTuple):
    """What goes of a study, by trial."""

    kept: set[str]
    """Trials that stay whole."""
    doomed: dict[str, list[str]]
    """Checkpoints and weights of the others."""
    lost: dict[str, list[str]]
    """Exports of attempts that no result names: of nodes that were cut off, or late."""


class _Place(NamedTuple):
    """Where an object of a trial is: `trials/t00017/best/a2/student.safetensors`."""

    trial: str
    part: str
    attempt: str
    """Empty where the part has none of its own."""
    name: str


def _mark(
    store: Store,
    study: str,
    keep_best: int,
    referenced: set[tuple[str, str]],
    sizes: Mapping[str, int],
) -> _Marked:
    record, _ = load_readable(store, study)
    kept = kept_trials(record, keep_best, referenced)
    attempts = {
        trial.spec.trial: f"a{trial.result.attempt}" for trial in record.trials if trial.result
    }
    names = {trial.spec.trial for trial in record.trials}
    marked, stay = _Marked(kept, {}, {}), (MANIFEST, *THIN)
    for key in sizes:
        place = _place(key)
        if place is None or place.trial not in names:
            continue
        is_export = place.part == _BEST
        if (
            is_export
            and place.attempt
            and attempts.get(place.trial, place.attempt) != place.attempt
        ):
            marked.lost.setdefault(place.trial, []).append(key)
        elif place.trial not in kept and (
            place.part == _CHECKPOINTS or (is_export and place.name not in stay)
        ):
            marked.doomed.setdefault(place.trial, []).append(key)
    return marked


def _place(key: str) -> _Place | None:
    match = _TRIALS.fullmatch(key)
    return _Place(**match.groupdict(default="")) if match else None


def _exports(sizes: Iterable[str]) -> dict[str, list[str]]:
    """Return the prefixes of what the attempts at each trial exported."""
    found: dict[str, list[str]] = {}
    for key in sizes:
        place = _place(key)
        if place and place.part == _BEST and place.name == MANIFEST:
            found.setdefault(place.trial, []).append(key.removesuffix(f"/{MANIFEST}"))
    return found


def _thin(store: Store, exports: Iterable[str]) -> bool:
    """Let exports hold nothing but measurements; return False if one is damaged: all stay."""
    for prefix in exports:
        try:
            thin_bundle(store, prefix, THIN)
        except CheckpointError as error:
            log.warning("%s is left as it is: %s", prefix, error)
            return False
    return True


def _restore(store: Store, exports: Iterable[str]) -> None:
    """Undo what a sweep that was killed began, or one that a promotion came before."""
    for prefix in exports:
        with suppress(CheckpointError):  # damaged already: none of ours to repair
            restore_bundle(store, prefix)


def _as_garbage(study: str, marked: _Marked, sizes: Mapping[str, int]) -> list[Garbage]:
    found: list[Garbage] = []
    for trial in sorted(marked.doomed.keys() | marked.lost.keys()):
        prefix = layout.trial(study, trial, _CHECKPOINTS) + "/"
        doomed = marked.doomed.get(trial, [])
        parts: dict[GarbageKind, list[str]] = {
            "checkpoints": [key for key in doomed if key.startswith(prefix)],
            "weights": [key for key in doomed if not key.startswith(prefix)],
            "unread": marked.lost.get(trial, []),
        }
        found += [
            Garbage(kind, f"{study}/{trial}", sum(sizes[key] for key in part))
            for kind, part in parts.items()
            if part
        ]
    return found
