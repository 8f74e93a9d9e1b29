"""Ray reads the environment when it is imported: what these tests import, later ones run with."""

from pathlib import Path

import pytest

from ss3d.study.environment import prepare_environment


@pytest.fixture(autouse=True)
def _environment(tmp_path: Path) -> None:
    prepare_environment(tmp_path)
