"""`ss3d gc`: all that can go of a store and of this node's cache; found, or found and removed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ss3d.errors import RefusedError
from ss3d.store import layout
from ss3d.store.probes import stale_probes
from ss3d.store.protocol import Store
from ss3d.study.inventory import collect_garbage, delete_keys, list_shared
from ss3d.study.node_leftovers import data_caches, spool_leftovers
from ss3d.study.retention import Garbage, find_swept, referenced_trials, sweep_study
from ss3d.study.stopping import is_driven
from ss3d.trial.history import list_studies

_DAY_S = 86_400.0

Progress = Callable[[str], None]
"""Called with what is looked at now."""


@dataclass(frozen=True)
class Scope:
    """What is collected."""

    keep_best: int
    """Trials of each stratum that keep checkpoints and weights."""
    cache_dir: Path
    """Of this node; its spool is looked at."""
    with_caches: bool
    """Decoded data sets that no study refers to as well."""
    remove: bool
    """Otherwise all is only found."""


@dataclass
class Collected:
    """What was found, and is gone if it was to be removed."""

    items: list[Garbage] = field(default_factory=list)
    running: list[str] = field(default_factory=list)
    """Studies that a driver runs: nothing of their trials is touched."""


def collect(store: Store, scope: Scope, tell: Progress = lambda _: None) -> Collected:
    """Find what can go, and remove it if that is the scope.

    Every object is one that a record says is not needed any more. A kill at any moment leaves a
    store that can be read, and the next call finishes.

    Args:
        store: where studies are.
        scope: what is collected.
        tell: progress.

    Raises:
        CheckpointError: a spec, study.json or ledger is damaged, so that references are unknown.
    """
    found = Collected()
    referenced = referenced_trials(store)
    for study in list_studies(store):
        tell(f"study {study}")
        try:
            if scope.remove:
                found.items += sweep_study(store, study, scope.keep_best)
            elif is_driven(store, study):
                found.running.append(study)
            else:
                found.items += find_swept(store, study, scope.keep_best, referenced)
        except RefusedError:  # a driver has the lease
            found.running.append(study)
    tell("pretrained states and controls")
    found.items += _shared(store, scope.remove)
    tell("leftovers")
    found.items += _leftovers(store, scope.remove)
    found.items += spool_leftovers(scope.cache_dir, store, scope.remove)
    if scope.with_caches:
        found.items += data_caches(scope.cache_dir, store, scope.remove)
    return found


def _shared(store: Store, remove: bool) -> list[Garbage]:
    items = list_shared(store)
    gone = collect_garbage(store, items) if remove else [one for one in items if one.is_garbage]
    unread = [one for one in items if one.unread_bytes and not one.is_garbage]
    return [
        *(Garbage(one.kind, one.key, one.num_bytes) for one in gone),
        *(Garbage("unread", one.key, one.unread_bytes) for one in unread),
    ]


def _leftovers(store: Store, remove: bool) -> list[Garbage]:
    sizes, probes = store.sizes(layout.PROBES), stale_probes(store)
    if remove:
        delete_keys(store, probes)
    parts = store.leftovers(_DAY_S, remove)
    return [
        *(Garbage("probe", key, sizes.get(key, 0)) for key in probes),
        *(Garbage("unfinished", name, size) for name, size in parts.items()),
    ]
