"""Points that wait in the store to be tried: put there by hand, also while the study runs.

Entries are numbered and stay. A trial's sealed spec names the entry that it came from, so each is
used once, whenever a driver dies.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any

from ss3d.config import canonical_json
from ss3d.errors import CheckpointError, ConfigError, ConflictError
from ss3d.store import layout
from ss3d.store.protocol import Store
from ss3d.study.fixed import Point, agrees
from ss3d.study.parameter import Value
from ss3d.study.space import Space
from ss3d.trial.history import read_object
from ss3d.trial.records import SCHEMA, TrialSpec

ENTRY = "enqueued"
"""Key in a spec's `attrs` of the entry that the trial came from."""


@dataclass(frozen=True)
class QueueEntry:
    """One point that waits."""

    number: int
    point: Point


def enqueue(store: Store, study: str, space: Space, values: Mapping[str, Any]) -> int:
    """Let a point wait and return its number.

    Args:
        store: where the study is.
        study: its name.
        space: its search space.
        values: of some or all parameters; those of strata say where it is to be tried.

    Raises:
        ConfigError: a value is not in the space.
    """
    point = space.check_point(values)
    tree = {"schema": SCHEMA, "values": dict(point), "enqueued_at": time.time()}
    while True:
        number = max(_numbers(store, study), default=0) + 1
        try:
            store.put_new(_key(study, number), canonical_json(tree).encode())
        except ConflictError:  # somebody else was quicker
            continue
        return number


def used(specs: Iterable[TrialSpec]) -> set[int]:
    """Return the numbers of the entries that became trials."""
    return {int(spec.attrs[ENTRY]) for spec in specs if ENTRY in spec.attrs}


def num_waiting(store: Store, study: str, specs: Iterable[TrialSpec]) -> int:
    """Return how many points wait."""
    return len(set(_numbers(store, study)) - used(specs))


class WaitingPoints:
    """The points of one study, read as they come.

    Args:
        store: where the study is.
        study: its name.
        space: its search space.
    """

    def __init__(self, store: Store, study: str, space: Space) -> None:
        self._store = store
        self._study = study
        self._space = space
        self._entries: dict[int, QueueEntry] = {}

    def oldest(self, stratum: Mapping[str, Value], used_numbers: Set[int]) -> QueueEntry | None:
        """Return the oldest point that waits for a trial of a stratum, or None.

        Raises:
            CheckpointError: an entry is damaged.
        """
        for number in sorted(_numbers(self._store, self._study)):
            if number not in used_numbers:
                entry = self._read(number)
                if agrees(entry.point, stratum, self._space.parameters):
                    return entry
        return None

    def _read(self, number: int) -> QueueEntry:
        if number not in self._entries:
            key = _key(self._study, number)
            blob = self._store.get(key)
            try:
                values = read_object(blob.data if blob else b"", key)["values"]
                point = self._space.check_point(values)
            except (KeyError, AttributeError, ConfigError) as error:
                raise CheckpointError(f"{key} is damaged: {error}") from error
            self._entries[number] = QueueEntry(number, point)
        return self._entries[number]


def _numbers(store: Store, study: str) -> list[int]:
    names = (key.rpartition("/")[2] for key in store.list(layout.study(study, "queue") + "/"))
    return [int(name.removesuffix(".json")) for name in names]


def _key(study: str, number: int) -> str:
    return layout.study(study, "queue", f"{number:04d}.json")
