"""A trained network that is to be promoted: a trial's best weights, or those of a directory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ss3d.config import TrialConfig
from ss3d.errors import CheckpointError, RefusedError
from ss3d.report.challenge import Measured, parse_measured
from ss3d.store.bundle import get_bundle
from ss3d.store.directory import DirectoryStore
from ss3d.store.protocol import Store
from ss3d.tracking.choice import choose_trial
from ss3d.trial.files import read_json
from ss3d.trial.history import (
    load_study_record,
    load_study_spec,
    load_trial_record,
    trial_export,
)
from ss3d.trial.records import TrialRecord


@dataclass(frozen=True)
class Candidate:
    """A trained network with what is known of its origin."""

    trial: str
    """`t00017`, or the directory of `ss3d train`."""
    best: Path
    """What `export_best` wrote."""
    measured: Measured
    config: TrialConfig
    code_version: str
    """Of the code that trained it; empty if that was not recorded."""
    data_hash: str
    """That it was trained with; empty if that was not recorded."""
    readings: Store
    """Where looks at the test models are recorded."""
    record: TrialRecord | None = None
    """None for a directory."""
    study_spec: Mapping[str, Any] | None = None

    @property
    def study(self) -> str | None:
        """Return the study; None for a directory."""
        return self.record.spec.study if self.record else None

    @property
    def origin(self) -> str:
        """Return `study/t00017`, or the directory."""
        return self.trial if self.study is None else f"{self.study}/{self.trial}"

    @property
    def metrics(self) -> bytes:
        """Return the bytes of what the export measured."""
        return (self.best / "metrics.json").read_bytes()


@contextmanager
def trial_candidate(
    store: Store, study: str, trial: str | None, where: Mapping[str, Any]
) -> Iterator[Candidate]:
    """Fetch a trial's best weights until the block ends.

    Args:
        store: where the study is.
        study: name.
        trial: id; None takes the best complete trial by the study's objective.
        where: parameter values that name one stratum of a study with several.

    Raises:
        ConfigError: there is no such study or trial.
        RefusedError: the trial is not complete, or the stratum is open.
        CheckpointError: the trial's best weights are damaged.
    """
    trial = trial or choose_trial(load_study_record(store, study), where)
    record = load_trial_record(store, study, trial)
    _must_be_complete(record)
    with tempfile.TemporaryDirectory(prefix="ss3d-promote-") as folder:
        best = Path(folder) / "best"
        get_bundle(store, trial_export(store, study, trial), best)
        yield Candidate(
            trial=trial,
            best=best,
            measured=_measured(best),
            config=record.spec.config,
            code_version=record.spec.code_version,
            data_hash=record.spec.data_hash,
            readings=store,
            record=record,
            study_spec=load_study_spec(store, study),
        )


def directory_candidate(directory: Path) -> Candidate:
    """Return what `ss3d train` left in a directory.

    Raises:
        CheckpointError: it holds no exported network.
    """
    best = directory / "best" if (directory / "best").is_dir() else directory
    if not (best / "student.safetensors").is_file():
        raise CheckpointError(
            f"{directory}: holds no best/student.safetensors; train it to its end"
        )
    lineage = directory / "lineage.json"
    recorded = read_json(lineage) if lineage.is_file() else {}
    return Candidate(
        trial=str(directory),
        best=best,
        measured=_measured(best),
        config=TrialConfig.parse(read_json(best / "config.json")),
        code_version=str(recorded.get("trial", "")),
        data_hash=str(recorded.get("data_hash", "")),
        readings=DirectoryStore(directory),
    )


def _measured(best: Path) -> Measured:
    try:
        return parse_measured((best / "metrics.json").read_bytes(), str(best))
    except OSError as error:
        raise CheckpointError(f"{best}: not a complete export: {error.strerror}") from error


def _must_be_complete(record: TrialRecord) -> None:
    if record.state != "complete":
        reason = f" ({record.result.reason})" if record.result and record.result.reason else ""
        raise RefusedError(
            f"trial {record.spec.study}/{record.spec.trial} is {record.state}{reason}; only "
            "complete trials are promoted"
        )
