"""The tiny preset made tinier: for trials that take a second, and search spaces of such."""

from __future__ import annotations

import json

TINIER = {
    "data.labeled_ratio": 0.5,
    "data.image_size": 32,
    "data.num_target_points": 64,
    "model.cnn_widths": (8, 16),
    "model.width": 16,
    "model.stage_widths": (8, 8, 8),
    "model.num_points": 32,
    "model.num_neighbors": 4,
}

EMA = """
[parameters."semi.ema_decay"]
type = "float"
low = 0.5
high = 0.99
scale = "log1m"
"""
"""The one parameter of most spaces: trials that differ in it share their pretrained state."""


def base_table(pretrain: tuple[int, int], semi: tuple[int, int]) -> str:
    """Return the `[base]` of a search space.

    Args:
        pretrain: steps of an epoch of pretraining, and its epochs.
        semi: the same of the teacher-student phase.
    """
    values = dict(TINIER) | {
        "pretrain.steps": pretrain[0],
        "pretrain.epochs": pretrain[1],
        "semi.steps": semi[0],
        "semi.epochs": semi[1],
    }
    lines = (f"{path} = {json.dumps(value)}\n" for path, value in values.items())
    return '[base]\npreset = "tiny"\n' + "".join(lines)
