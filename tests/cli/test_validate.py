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
    assert value["pretrains"] == 15  # 3 labeled ratios x 5 numbers of heads
    assert [stratum["data.labeled_ratio"] for stratum in value["strata"]] == [0.01, 0.1, 0.2]


def test_a_missing_space_is_a_config_error() -> None:
    result = CliRunner().invoke(app, ["validate", "nowhere.toml"])
    assert isinstance(result.exception, ConfigError)
    assert str(result.exception).startswith("nowhere.toml: cannot be read: No such file")


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


FAST = """
[base]
preset = "tiny"
data.image_size = 32
data.num_target_points = 64
model.cnn_widths = [8, 16]
model.width = 16
model.stage_widths = [8, 8, 8]
model.num_points = 32
model.num_neighbors = 4
[budget]
trials = 4
[parameters."semi.ema_decay"]
type = "float"
low = 0.5
high = 0.9
"""


def test_a_probe_predicts_and_keeps_what_it_predicted(tmp_path: Path, data_folder: Path) -> None:
    space = tmp_path / "fast.toml"
    space.write_text(FAST)
    words = ["validate", str(space), "--home", str(tmp_path), "--probe", "--slots", "2"]
    probed = [*words, "--data", str(data_folder), "--json"]
    result = CliRunner().invoke(app, probed, catch_exceptions=False)
    value = json.loads(result.stdout)
    found = value["prediction"]
    assert (found["trials"], found["pretrains"], found["slots"]) == (4, 1, 2)
    assert found["spent_s"] == pytest.approx(found["pretrain_s"] + found["semi_s"])
    assert found["alone_s"] == pytest.approx(4 * found["pretrain_s"])
    assert value["budget"] == ""
    assert (value["suggestion"]["cpus"], value["suggestion"]["gpus"]) == (1, 0)
    kept = list((tmp_path / "store" / "predictions").rglob("*.json"))
    assert [json.loads(path.read_text())["semi_s"] for path in kept] == [found["semi_s"]]

    space.write_text(FAST.replace("trials = 4", "trials = 4\nhours = 1e-6"))
    refused = CliRunner().invoke(app, probed)
    assert isinstance(refused.exception, ConfigError)
    assert "the budget allows no trial: 1e-06 of 1e-06 hours left, a trial needs" in str(
        refused.exception
    )
    without = CliRunner().invoke(app, words)
    assert "say on which data set, by --data" in str(without.exception)
