"""What a trial of the default length reports, measured on a network that trains in seconds."""

from __future__ import annotations

from pathlib import Path

import torch

from ss3d.config import TrialConfig
from ss3d.data.dataset import open_dataset
from ss3d.data.items import Shape
from ss3d.data.loader import load_data
from ss3d.data.procedural import prepare_procedural
from ss3d.store.directory import DirectoryStore
from ss3d.trial.records import EpochReport
from ss3d.trial.run import run_trial
from ss3d.trial.state import new_state


def default_reports(folder: Path) -> tuple[EpochReport, ...]:
    """Return the reports of a teacher-student phase with as many epochs as by default.

    Args:
        folder: empty, for a small data set.
    """
    epochs = TrialConfig().semi.epochs
    config = TrialConfig.from_preset("tiny").override(
        {
            "data.labeled_ratio": 0.5,
            "data.image_size": 32,
            "data.num_target_points": 64,
            "model.cnn_widths": (8, 16),
            "model.width": 16,
            "model.stage_widths": (8, 8, 8),
            "model.num_points": 32,
            "model.num_neighbors": 4,
            "pretrain.steps": 1,
            "pretrain.epochs": 1,
            "semi.steps": epochs,
            "semi.epochs": epochs,
        }
    )
    shape = Shape(num_views=1, image_size=32, num_points=64)
    store = DirectoryStore(folder / "data")
    prepare_procedural(store, "ss3d-bench", 32, 0, shape, None)
    data = load_data(open_dataset(store), config.data, folder / "cache")
    reports = run_trial(new_state(config, None, torch.device("cpu")), data)
    return tuple(report for report in reports if report.phase == "semi")
