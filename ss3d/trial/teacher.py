"""The teacher of a checkpoint: an export holds the student alone."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch

from ss3d.config import TrialConfig
from ss3d.errors import CheckpointError, ConfigError
from ss3d.model.network import Network
from ss3d.trial import files
from ss3d.trial.state import build, load_weights


class Teacher(NamedTuple):
    """A teacher as its checkpoint holds it."""

    network: Network
    """In eval mode."""
    config: TrialConfig
    epoch: int
    """Of the teacher-student phase."""
    sha256: str
    """Of its file."""


def load_teacher(checkpoint: Path, device: torch.device) -> Teacher:
    """Read the teacher that `save_state` wrote.

    Raises:
        ConfigError: the trial has no teacher, or not yet.
        CheckpointError: a file is missing, damaged (sha256) or does not fit.
    """
    header, parts = files.read_checkpoint(checkpoint)
    try:
        config = TrialConfig.parse(header["config"])
        epoch, sha = int(header["epoch"]), header["sha256"].get("teacher")
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"checkpoint {checkpoint} does not fit: {error!r}") from error
    if not config.semi.enabled:
        raise ConfigError("--teacher: the trial has none: it was trained with semi.enabled = false")
    if sha is None:
        raise ConfigError(
            f"--teacher: the trial has none yet: its newest checkpoint is epoch {epoch} of "
            "pretraining; train on with --resume"
        )
    network = build(config, device)
    load_weights(network, parts["teacher"], checkpoint)
    return Teacher(network.eval(), config, epoch, sha)
