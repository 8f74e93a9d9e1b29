"""A trial run again with other values: not a proof, but kept beside it and shown next to it."""

from __future__ import annotations

from typing import Any

from ss3d.config import TrialConfig
from ss3d.errors import CheckpointError
from ss3d.store import layout
from ss3d.store.protocol import Store
from ss3d.trial.records import EpochReport, Record


class WhatIf(Record):
    """What came out of a trial with other values."""

    study: str
    trial: str
    values: dict[str, Any]
    """What was set, under dotted paths."""
    config: TrialConfig
    reports: tuple[EpochReport, ...]
    device: str
    code_version: str
    data_hash: str
    versions: dict[str, str]
    started_at: float
    finished_at: float

    @property
    def name(self) -> str:
        """Return its name among all: `STUDY/t00017/what-if-001767225600000`."""
        return f"{self.study}/{self.trial}/what-if-{self.finished_at * 1000:015.0f}"

    def curve(self) -> dict[int, float]:
        """Return `val/cd_l1` by epoch of the teacher-student phase."""
        return curve_of(self.reports)


def curve_of(reports: tuple[EpochReport, ...]) -> dict[int, float]:
    """Return `val/cd_l1` by epoch of the teacher-student phase."""
    return {r.epoch: r.metrics["val/cd_l1"] for r in reports if r.phase == "semi"}


def record_what_if(store: Store, what_if: WhatIf) -> str:
    """Write one beside its trial and return its key.

    Raises:
        ConflictError: another one ended in the same millisecond.
    """
    key = layout.moment(layout.what_ifs(what_if.study, what_if.trial), what_if.finished_at)
    store.put_new(key, what_if.to_json())
    return key


def read_what_ifs(store: Store, study: str, trial: str) -> list[WhatIf]:
    """Return what was tried with a trial, the oldest first.

    Raises:
        CheckpointError: a record is damaged.
    """
    return [read_what_if(store, key) for key in store.list(layout.what_ifs(study, trial))]


def what_if_keys(store: Store, study: str) -> list[str]:
    """Return the keys of what was tried with the trials of a study, found by one listing."""
    keys = store.list(layout.study(study, "trials") + "/")
    return [key for key in keys if key.split("/")[4] == layout.WHAT_IFS]


def read_what_if(store: Store, key: str) -> WhatIf:
    """Return what was written under a key.

    Raises:
        CheckpointError: it is damaged, or gone.
    """
    blob = store.get(key)
    if blob is None:
        raise CheckpointError(f"{key} vanished from the store while it was read; try again")
    return WhatIf.from_json(blob.data)
