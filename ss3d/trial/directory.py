"""One trial in one directory, without a study: what `ss3d train -o DIR` writes and resumes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from filelock import FileLock, Timeout

from ss3d.config import TrialConfig
from ss3d.errors import RefusedError
from ss3d.trial import files
from ss3d.trial.checkpoint import load_state, save_state
from ss3d.trial.export import export_best
from ss3d.trial.records import SCHEMA, EpochReport
from ss3d.trial.run import run_trial
from ss3d.trial.spec import describe_code, machine
from ss3d.trial.state import TrialState, new_state

if TYPE_CHECKING:
    from ss3d.data.loader import TrialData


def open_directory(
    directory: Path,
    config: TrialConfig,
    data: TrialData,
    resume: bool,
    weights: Path | None,
    device: torch.device,
) -> TrialState:
    """Return a directory's state: new, or that of its checkpoint.

    Args:
        directory: created if it does not exist.
        config: of the trial; must be the checkpoint's when resuming.
        data: what it trains on; must be the same when resuming.
        resume: continue where the checkpoint stopped.
        weights: file of the backbone's weights, or None.
        device: where it trains.

    Raises:
        RefusedError: there is a trial already and `resume` is not given, or with another
            configuration or other data.
        CheckpointError: the checkpoint is damaged.
    """
    checkpoint = directory / "checkpoint"
    started = checkpoint.exists() or files.backup_of(checkpoint).exists()
    if not started:
        state = new_state(config, weights, device)
        directory.mkdir(parents=True, exist_ok=True)
        files.write_json(directory / "config.json", config.model_dump(mode="json"))
        lineage = _data_of(data) | {"machine": machine()} | describe_code()
        files.write_json(directory / "lineage.json", lineage)
        return state
    if not resume:
        raise RefusedError(f"{directory} holds a trial; add --resume or choose another directory")
    state = load_state(checkpoint, device)
    before, now = (c.flatten() | _data_of(data) for c in (state.config, config))
    lineage = files.read_json(directory / "lineage.json")
    before |= {name: lineage.get(name) for name in _data_of(data)}
    changed = [f"{p}: {before[p]} -> {now[p]}" for p in now if now[p] != before[p]]
    if changed:
        raise RefusedError(
            f"{directory} was started with another configuration or other data "
            f"({'; '.join(changed)}); give the same or choose another directory"
        )
    return state


def train_in_directory(
    state: TrialState, data: TrialData, directory: Path
) -> Iterator[EpochReport]:
    """Run a trial, save it after every epoch and export its best network at the end.

    Raises:
        DivergedError: a loss is not finite; the last checkpoint stays.
        RefusedError: another process trains in this directory.
        ServiceError: the disk is full.
    """
    with _alone(directory):
        for report in run_trial(state, data):
            save_state(state, directory / "checkpoint")
            reports = [r.model_dump(mode="json") for r in state.reports]
            files.write_json(directory / "epochs.json", {"schema": SCHEMA, "reports": reports})
            yield report
        export_best(state, data, directory / "best")


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Hold a directory against a second process."""
    try:
        with FileLock(directory / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise RefusedError(f"{directory} is in use by another process") from error


def _data_of(data: TrialData) -> dict[str, str]:
    return {"data_hash": data.data_hash, "split_hash": data.split_hash}
