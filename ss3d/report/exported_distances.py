"""Reading what exports recorded of each validation model, without their weights."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Literal

from ss3d.errors import CheckpointError
from ss3d.store.bundle import read_manifest
from ss3d.store.protocol import Store
from ss3d.trial.history import read_object

Distances = Mapping[str, float]
"""`cd_l1` by validation model."""
Epoch = Literal["best", "last"]

_FILE = "metrics.json"
_FIELDS: dict[Epoch, str] = {"best": "per_model", "last": "per_model_last"}


class Exports:
    """The exports of a store; each is read once, however many trials share it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._read: dict[str, dict[str, object]] = {}

    def distances(self, prefix: str, epoch: Epoch) -> Distances | None:
        """Return the `cd_l1` of each validation model at the best or the last epoch of a phase.

        Args:
            prefix: of the bundle.
            epoch: which; exports did not always record the last.

        Returns:
            None if the export did not record the epoch.

        Raises:
            CheckpointError: the bundle is missing or damaged.
        """
        if prefix not in self._read:
            self._read[prefix] = _read_metrics(self.store, prefix)
        found = self._read[prefix].get(_FIELDS[epoch])
        if found is None and epoch == "last":
            return None
        if not isinstance(found, dict) or not found or not all(map(_is_finite, found.values())):
            expected = "the cd_l1 of each validation model"
            raise CheckpointError(f"{prefix}/{_FILE}: {_FIELDS[epoch]} is not {expected}")
        return {str(name): float(value) for name, value in found.items()}


def _read_metrics(store: Store, prefix: str) -> dict[str, object]:
    recorded = {entry["name"]: entry["sha256"] for entry in read_manifest(store, prefix)}
    blob = store.get(f"{prefix}/{_FILE}")
    if _FILE not in recorded or blob is None:
        raise CheckpointError(f"{prefix}: the export has no {_FILE}")
    if hashlib.sha256(blob.data).hexdigest() != recorded[_FILE]:
        raise CheckpointError(
            f"{prefix}/{_FILE} is damaged: its sha256 is not that of the bundle's manifest"
        )
    return read_object(blob.data, f"{prefix}/{_FILE}")


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
