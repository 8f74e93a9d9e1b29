"""Which network of a model `ss3d evaluate` measures: the exported student or the newest teacher."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ss3d.cli.opening import local_network, model_directory
from ss3d.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    import torch

    from ss3d.config import TrialConfig
    from ss3d.model.network import Network
    from ss3d.settings import Settings


@dataclass(frozen=True)
class Chosen:
    """A network with what is known of it."""

    network: Network
    config: TrialConfig
    role: Literal["student", "teacher"]
    phase: str | None
    epoch: int | None
    """The best of the phase for a student, the newest checkpoint's for a teacher."""
    weights_sha256: str
    trained_on: Mapping[str, Any]
    """What of `data_hash` and `split_hash` was recorded."""
    folder: Path | None
    """Of a train directory or an export, where readings of the test models are recorded."""

    def describe(self) -> dict[str, Any]:
        """Return which network it is, as `--json` shows it."""
        return {"role": self.role, "phase": self.phase, "epoch": self.epoch}


def choose_network(
    model: str, is_teacher: bool, settings: Settings, device: torch.device
) -> Chosen:
    """Load the network of a model.

    Raises:
        ConfigError: there is no such model, or it has no teacher.
        CheckpointError: its files are missing or damaged.
    """
    return (_teacher if is_teacher else _student)(model, settings, device)


def _student(model: str, settings: Settings, device: torch.device) -> Chosen:
    from ss3d.trial.export import load_network
    from ss3d.trial.files import read_json

    directory = model_directory(model, settings)
    network, config = load_network(directory, device)
    facts = read_json(directory / "metrics.json")
    folder = directory.parent if directory.name == "best" else directory
    return Chosen(
        network=network,
        config=config,
        role="student",
        phase=facts.get("phase"),
        epoch=facts.get("epoch"),
        weights_sha256=str(facts.get("sha256", "")),
        trained_on=facts,
        folder=None if local_network(model) is None else folder,
    )


def _teacher(model: str, settings: Settings, device: torch.device) -> Chosen:
    from ss3d.trial.files import backup_of, read_json

    folder = Path(model)
    if not folder.is_dir():
        return _teacher_of_trial(model, settings, device)
    checkpoint = folder / "checkpoint"
    if not (checkpoint.exists() or backup_of(checkpoint).exists()):
        raise ConfigError(f"--teacher: the directory {model} holds no checkpoint of `ss3d train`")
    return _chosen(checkpoint, read_json(folder / "lineage.json"), folder, device)


def _teacher_of_trial(model: str, settings: Settings, device: torch.device) -> Chosen:
    from ss3d.store.bundle import checkpoints, get_bundle
    from ss3d.store.layout import split_trial_path, trial
    from ss3d.store.opening import open_store
    from ss3d.trial.history import load_trial_record

    try:
        study, name = split_trial_path(model)
    except ConfigError as error:
        raise ConfigError(
            f"--teacher: got {model!r}, expected a directory of `ss3d train` or STUDY/t00017: "
            "registered models and exports hold the student alone"
        ) from error
    store = open_store(settings.store_address)
    spec = load_trial_record(store, study, name).spec
    if not spec.config.semi.enabled:
        raise ConfigError(f"--teacher: {model} has none: it was trained with semi.enabled = false")
    found = checkpoints(store, trial(study, name, "checkpoints"))
    if not found:
        raise CheckpointError(f"--teacher: {model} has no checkpoint in {store.address}")
    with tempfile.TemporaryDirectory() as directory:
        get_bundle(store, found[-1], Path(directory))
        return _chosen(Path(directory), {"data_hash": spec.data_hash}, None, device)


def _chosen(
    checkpoint: Path, trained_on: Mapping[str, Any], folder: Path | None, device: torch.device
) -> Chosen:
    from ss3d.trial.teacher import load_teacher

    teacher = load_teacher(checkpoint, device)
    return Chosen(
        network=teacher.network,
        config=teacher.config,
        role="teacher",
        phase="semi",
        epoch=teacher.epoch,
        weights_sha256=teacher.sha256,
        trained_on=trained_on,
        folder=folder,
    )
