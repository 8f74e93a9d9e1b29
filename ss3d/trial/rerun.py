"""Rerunning a trial from its sealed spec: planned before anything is fetched, then run."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ss3d.config import TrialConfig
from ss3d.errors import ConfigError
from ss3d.store import layout
from ss3d.store.bundle import bundle_bytes, checkpoints, get_bundle
from ss3d.store.protocol import Store
from ss3d.trial.checkpoint import load_state
from ss3d.trial.history import is_complete, load_shared_record, shared_export
from ss3d.trial.records import EpochReport, TrialRecord
from ss3d.trial.run import run_trial
from ss3d.trial.spec import pretrain_key
from ss3d.trial.state import TrialState, new_state, pretrained_state

if TYPE_CHECKING:
    from ss3d.data.loader import TrialData


@dataclass(frozen=True)
class Plan:
    """What a rerun does."""

    config: TrialConfig
    bundle: str | None
    """Prefix of the checkpoint or pretrained state that it begins with; None pretrains."""
    after: int | None
    """Epoch of the checkpoint; None if it begins with a phase."""
    last: int
    """The teacher-student epoch that it ends with."""
    original: tuple[EpochReport, ...]
    """Of the trial, those of its pretraining first."""

    @property
    def repeated(self) -> list[EpochReport]:
        """Return the original's epochs that are run again."""
        done = -1 if self.after is None else self.after
        return [
            report
            for report in self.original
            if (done < report.epoch <= self.last if report.phase == "semi" else not self.bundle)
        ]

    @property
    def seconds(self) -> float | None:
        """Return how long the original took for it; None if that is not known."""
        found = self.repeated
        if self.bundle is None and not any(report.phase == "pretrain" for report in found):
            return None
        return sum(report.system["epoch_s"] for report in found)

    @property
    def num_epochs(self) -> int:
        """Return how many epochs it has at most."""
        pretraining = [report for report in self.repeated if report.phase == "pretrain"]
        first = len(pretraining) or self.config.pretrain.epochs if self.bundle is None else 0
        return first + self.last - (-1 if self.after is None else self.after)


def plan_rerun(
    store: Store,
    record: TrialRecord,
    *,
    last: int | None = None,
    after: int | None = None,
    own_pretrain: bool = False,
) -> Plan:
    """Return what a rerun of a trial does.

    Args:
        store: of the trial.
        record: of the trial.
        last: the teacher-student epoch to end with; the original's last by default.
        after: begin with the checkpoint of this epoch.
        own_pretrain: pretrain again even if the shared state is there.

    Raises:
        ConfigError: there is no such checkpoint, or nothing to do after it.
    """
    key, end = record.spec.pretrain_key, _last_epoch(record) if last is None else last
    if after is None:
        bundle = None if own_pretrain else _shared_bundle(store, key)
    elif own_pretrain:
        raise ConfigError("--from-epoch: a checkpoint needs no pretraining; drop --own-pretrain")
    else:
        bundle = _checkpoint(store, record, after, end)
    return Plan(record.spec.config, bundle, after, end, _original(store, record))


def plan_what_if(
    store: Store,
    record: TrialRecord,
    values: Mapping[str, Any],
    *,
    last: int | None = None,
    own_pretrain: bool = False,
) -> Plan:
    """Return what a run of a trial with other values does.

    Args:
        store: of the trial.
        record: of the trial.
        values: dotted path to value.
        last: the teacher-student epoch to end with; the original's last by default.
        own_pretrain: pretrain even if a shared state is there.

    Raises:
        ConfigError: a path or value is not valid, or the trial has these values.
    """
    spec, end = record.spec, _last_epoch(record) if last is None else last
    config = spec.config.override(values)
    if config == spec.config:
        raise ConfigError("--set: the trial has these values; without --set it is run as it was")
    is_same = config.pretrain_fields() == spec.config.pretrain_fields()
    key = spec.pretrain_key if is_same else pretrain_key(config, spec.data_hash)
    bundle = None if own_pretrain else _shared_bundle(store, key)
    return Plan(config, bundle, None, end, _original(store, record))


def bytes_to_read(store: Store, plan: Plan) -> int:
    """Return the size of what a plan begins with."""
    return 0 if plan.bundle is None else bundle_bytes(store, plan.bundle)


def begin(plan: Plan, store: Store, weights: Path | None, device: torch.device) -> TrialState:
    """Return the state that a rerun begins with.

    Args:
        plan: of the rerun.
        store: of the trial.
        weights: file of the backbone's weights, if it pretrains and has any.
        device: where it trains.

    Raises:
        CheckpointError: what the store holds is damaged or does not fit.
    """
    if plan.bundle is None:
        return new_state(plan.config, weights, device)
    with tempfile.TemporaryDirectory(prefix="ss3d-rerun-") as folder:
        get_bundle(store, plan.bundle, Path(folder))
        if plan.after is None:
            return pretrained_state(plan.config, Path(folder), device)
        return load_state(Path(folder), device)


def rerun(state: TrialState, data: TrialData, last: int) -> Iterator[EpochReport]:
    """Yield the reports of the trial again, up to an epoch of the teacher-student phase."""
    for report in run_trial(state, data):
        yield report
        if report.phase == "semi" and report.epoch >= last:
            return


def _last_epoch(record: TrialRecord) -> int:
    return max((report.epoch for report in record.reports), default=0)


def _original(store: Store, record: TrialRecord) -> tuple[EpochReport, ...]:
    """Return the epochs of a trial, those of its shared pretraining first if they are there."""
    shared = load_shared_record(store, "pretrain", record.spec.pretrain_key)
    return (*(shared.reports if shared else ()), *record.reports)


def _shared_bundle(store: Store, key: str) -> str | None:
    return shared_export(store, "pretrain", key) if is_complete(store, "pretrain", key) else None


def _checkpoint(store: Store, record: TrialRecord, after: int, last: int) -> str:
    """Return the newest checkpoint of an epoch."""
    spec = record.spec
    found = {
        layout.attempt_and_epoch(prefix)[1]: prefix
        for prefix in checkpoints(store, layout.trial(spec.study, spec.trial, "checkpoints"))
    }
    usable = sorted(epoch for epoch in found if epoch < last)
    if after not in usable:
        there = ", ".join(map(str, usable)) or "none"
        raise ConfigError(
            f"--from-epoch: got {after}, the store holds checkpoints before epoch {last} of: "
            f"{there}; the newest two are kept; without --from-epoch it begins at epoch 0"
        )
    return found[after]
