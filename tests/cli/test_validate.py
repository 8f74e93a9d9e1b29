from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ss3d.cli.main import app
from ss3d.errors import ConfigError

SPACES = Path(__file__).parents[2] / "search_spaces"


def test_validate_counts_pretrainings_and_strata() -> None:
    result = CliRunner().invoke(app, ["validate", str(SPACES / "paper.toml"), "--json"])
    value = json.loads(result.stdout)
    assert result.exit_code == 0
    assert value["pretrains"] == 15  # 3 labelled ratios x 5 numbers of heads
    assert [stratum["data.labeled_ratio"] for stratum in value["strata"]] == [0.01, 0.1, 0.2]


def test_a_missing_space_is_a_config_error() -> None:
    result = CliRunner().invoke(app, ["validate", "nowhere.toml"])
    assert isinstance(result.exception, ConfigError)
    assert str(result.exception).startswith("nowhere.toml: cannot be read")


@pytest.mark.parametrize("command", [["status"], ["trials"]])
def test_an_unknown_study_is_named(command: list[str], tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [*command, "nothing", "--home", str(tmp_path)])
    assert isinstance(result.exception, ConfigError)
    assert "study 'nothing': not in the store" in str(result.exception)


def test_a_new_study_needs_data(tmp_path: Path) -> None:
    space = str(SPACES / "quickstart.toml")
    result = CliRunner().invoke(app, ["search", space, "--home", str(tmp_path)])
    assert isinstance(result.exception, ConfigError)
    assert "needs SPACE and --data" in str(result.exception)
