from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_space import EMA, base_table

BASE = base_table((2, 2), (4, 4))


@pytest.fixture
def write_space(tmp_path: Path) -> Callable[[str], Path]:
    """Write a search space of trials that take a second, with more tables."""

    def write(tables: str, head: str = "") -> Path:
        path = tmp_path / "fast.toml"
        path.write_text(head + BASE + EMA + tables)
        return path

    return write
