"""`ss3d evaluate` and `ss3d figure` on what `ss3d train` leaves behind."""

import json

import pytest
from PIL import Image
from typer.testing import CliRunner

from ss3d.cli.main import app
from ss3d.errors import ConfigError

TINY = {
    "pretrain.steps": 4, "pretrain.epochs": 2, "semi.steps": 2, "semi.epochs": 1,
    "data.image_size": 32, "data.num_target_points": 64, "model.num_points": 32,
    "model.cnn_widths": "[8, 16]", "model.width": 16, "model.stage_widths": "[8, 8, 8]",
    "model.num_neighbors": 4,
}  # fmt: skip


def ss3d(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def home(data_folder, tmp_path_factory):
    """Two trials, with a fifth and with half of the labels."""
    home = tmp_path_factory.mktemp("home")
    settings = [part for path, value in TINY.items() for part in ("--set", f"{path}={value}")]
    common = ("--preset", "tiny", "--data", data_folder, "--home", home, "--device", "cpu")
    for name, ratio in (("few", 0.2), ("many", 0.5)):
        labels = ("--set", f"data.labeled_ratio={ratio}")
        ss3d("train", "-o", home / name, *common, *settings, *labels, "--json")
    return home


def evaluate(home, data_folder, split: str, *more: object) -> str:
    common = ("--data", data_folder, "--home", home, "--device", "cpu", "--split", split)
    return ss3d("evaluate", home / "few", *common, *more)


def test_an_evaluation_keeps_its_shape_and_says_more(home, data_folder):
    found = json.loads(evaluate(home, data_folder, "val", "--json"))
    assert set(found["cd_l1"]) == {"sample_mean", "category_mean", "per_category"}
    assert len(found["cd_l1"]["per_category"]) == 8
    assert found["count"] == 8
    for name in ("cd_pred_to_gt", "cd_gt_to_pred", "cd_l1_sum", "cd_l2", "f_score",
                 "spacing_variation", "void_share", "cd_thin", "cd_between_views"):  # fmt: skip
        assert set(found[name]) == set(found["cd_l1"]), name
    assert found["labels"] == {"train": 8, "choose": 8}
    assert found["floor"]["mean"] is None
    assert found["warning"] is None
    assert "test_readings" not in found
    assert not (home / "few" / "evaluations").exists()


def test_every_reading_of_the_test_models_is_recorded_beside_the_directory(home, data_folder):
    found = json.loads(evaluate(home, data_folder, "test", "--json"))
    assert found["test_readings"] == {
        "of_model": 1, "of_data": 1, "recorded_in": str(home / "few")
    }  # fmt: skip
    text = evaluate(home, data_folder, "test")
    assert "reading 2 of these test models, 2 by this" in " ".join(text.split())
    records = sorted((home / "few" / "evaluations").rglob("*.json"))
    assert len(records) == 2
    assert json.loads(records[0].read_text())["cd_l1"] == found["cd_l1"]["sample_mean"]


@pytest.mark.parametrize("suffix", ["png", "html"])
def test_a_comparison_says_its_rule_and_its_objects(home, suffix):
    output = home / "figures" / f"f.{suffix}"
    text = ss3d("figure", "comparison", home / "few", home / "many", "--label", "ours",
                "-o", output, "--rows", 2, "--home", home, "--json")  # fmt: skip
    found = json.loads(text)
    assert [model["label"] for model in found["models"]] == ["ours", "many"]
    assert len(found["objects"]) == 2
    assert found["rule"].startswith("median of 8 validation objects")
    assert output.stat().st_size > 5000


def test_ratios_of_directories_are_their_columns(home):
    output = home / "ratios.png"
    found = json.loads(ss3d("figure", "ratios", home / "many", home / "few", "-o", output,
                            "--rows", 1, "--home", home, "--json"))  # fmt: skip
    assert [model["label"] for model in found["models"]] == ["20 % labeled", "50 % labeled"]
    with Image.open(output) as picture:
        assert picture.width > picture.height


@pytest.mark.parametrize("kind", ["viewpoints", "limitations"])
def test_figures_of_one_model(kind, home):
    text = ss3d("figure", kind, home / "few", "-o", home / f"{kind}.pdf", "--rows", 1,
                "--home", home)  # fmt: skip
    rule = {"viewpoints": "rule: median", "limitations": "rule: worst"}[kind]
    assert rule in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["comparison", "few", "-o", "f.gif"], r"--output: got 'f\.gif'"),
        (["ablation", "few", "-o", "f.png"], "an ablation needs --by PATH"),
        (["comparison", "few", "-o", "f.png", "--by", "semi.lr"], "--by: not for comparison"),
        (["viewpoints", "few", "-o", "f.png", "--where", "a=1"], "--where: not for viewpoints"),
        (["ablation", "few", "-o", "f.png", "--by", "semi.lrr"], "did you mean semi.lr"),
        (["comparison", "few", "-o", "f.png", "--label", "a", "--label", "b"], "got 2 labels"),
    ],
)
def test_what_cannot_be_drawn_is_named(arguments, message, home, monkeypatch):
    monkeypatch.chdir(home)
    with pytest.raises(ConfigError, match=message):
        CliRunner().invoke(app, ["figure", *arguments, "--home", "."], catch_exceptions=False)
