"""What differs between a trial and a rerun of it: code, data, versions, machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from ss3d.errors import CheckpointError
from ss3d.store import layout
from ss3d.store.protocol import Store
from ss3d.trial.history import read_object
from ss3d.trial.records import TrialSpec
from ss3d.trial.spec import code_version, machine, versions

_HARMLESS = ("python", "ss3d", "host")
"""What changes no bit: the code has a hash of its own."""
_SHORT = 12
"""Characters of a hash that are shown."""


class Change(NamedTuple):
    """One circumstance that is not what it was, or that repeats no bits."""

    name: str
    then: str
    now: str
    may_change_bits: bool

    def describe(self) -> str:
        """Return it as a person reads it: `device: cpu -> NVIDIA H100`."""
        before = f"{self.then} -> " if self.then != self.now else ""
        return f"{self.name}: {before}{self.now}"


def read_attempts(store: Store, folder: str) -> list[dict[str, Any]]:
    """Return what the attempts at a trial, or at something shared, recorded of their machines.

    Args:
        store: where they are.
        folder: of the trial or of what is shared.

    Raises:
        CheckpointError: a record is damaged.
    """
    keys = sorted(store.list(f"{folder}/attempts/"), key=layout.attempt_and_epoch)
    blobs = [(key, store.get(key)) for key in keys]
    return [read_object(blob.data, key) for key, blob in blobs if blob]


def changes_since(
    spec: TrialSpec,
    attempts: Sequence[Mapping[str, Any]],
    used_gpu: bool,
    data_hash: str,
    device: torch.device,
) -> list[Change]:
    """Return what differs between an original and here; bits repeat if none of it may change them.

    Args:
        spec: sealed.
        attempts: what the attempts recorded that made the numbers.
        used_gpu: whether the study gave its trials a GPU.
        data_hash: of the data set that is here.
        device: of the rerun.
    """
    now = _shown(machine(), versions(), device.type == "cuda")
    met = [_shown(_facts(a, "machine"), _facts(a, "versions"), used_gpu) for a in attempts]
    if not met:
        met = [{**spec.versions, **dict.fromkeys(machine(), "not recorded")}]
    then = {name: sorted({facts.get(name, "not recorded") for facts in met}) for name in now}
    pairs = {
        "code": (spec.code_version[:_SHORT], code_version()[:_SHORT]),
        "data": (spec.data_hash[:_SHORT], data_hash[:_SHORT]),
        **{name: (", ".join(then[name]), now[name]) for name in now},
    }
    is_on_its_gpu = device.type == "cuda" and then["device"] == [now["device"]]
    harmless = (*_HARMLESS, "cpu_capability") if is_on_its_gpu else _HARMLESS
    changes = [
        Change(name, old, new, name not in harmless)
        for name, (old, new) in pairs.items()
        if old != new
    ]
    if device.type == "cuda" and not spec.config.numerics.deterministic:
        changes.append(Change("kernels", "not deterministic", "not deterministic", True))
    return changes


def expects_bitwise(changes: Iterable[Change]) -> bool:
    """Return whether a rerun under these changes must give the bits of its original."""
    return not any(change.may_change_bits for change in changes)


def _shown(
    met: Mapping[str, str], known_versions: Mapping[str, str], used_gpu: bool
) -> dict[str, str]:
    """Return machine and versions under one name each; a machine's GPU may have been idle."""
    device = met.get("device", "not recorded") if used_gpu else "cpu"
    return {**known_versions, **met, "device": device}


def _facts(attempt: Mapping[str, Any], name: str) -> dict[str, str]:
    found = attempt.get(name, {})
    if not isinstance(found, Mapping):
        raise CheckpointError(f"an attempt's record is damaged: {name} is {found!r}")
    return {str(key): str(value) for key, value in found.items()}
