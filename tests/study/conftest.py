from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

BASE = """
[base]
preset = "tiny"
data.labeled_ratio = 0.5
data.image_size = 32
data.num_target_points = 64
model.cnn_widths = [8, 16]
model.width = 16
model.stage_widths = [8, 8, 8]
model.num_points = 32
model.num_neighbors = 4
pretrain.steps = 2
pretrain.epochs = 2
semi.steps = 4
semi.epochs = 4
"""

EMA = """
[parameters."semi.ema_decay"]
type = "float"
low = 0.5
high = 0.99
scale = "log1m"
"""


@pytest.fixture
def write_space(tmp_path: Path) -> Callable[[str], Path]:
    """Write a search space of trials that take a second, with more tables."""

    def write(tables: str, head: str = "") -> Path:
        path = tmp_path / "fast.toml"
        path.write_text(head + BASE + EMA + tables)
        return path

    return write
