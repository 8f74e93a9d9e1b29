"""Wrong input ends with the documented exit code and a message, never with a traceback."""

import json
import sys

import pytest

from ss3d.cli.main import run

TINY = ("train", "--preset", "tiny", "-o", "out", "--home", "home")
ON_DATA = (*TINY, "--data", "{data}")


def call(monkeypatch, capsys, *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["ss3d", *arguments])
    with pytest.raises(SystemExit) as ended:
        run()
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, " ".join(err.split())


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SS3D_HOME", raising=False)
    monkeypatch.delenv("SS3D_STORE", raising=False)


@pytest.mark.parametrize(
    ("code", "message", "arguments"),
    [
        (2, "No such command", ("frobnicate",)),
        (2, "did you mean semi.ema_decay?", (*ON_DATA, "--set", "semi.ema_decy=1")),
        (2, "expected less than 1", (*ON_DATA, "--set", "semi.ema_decay=1.5")),
        (2, "divisor of model.width", (*ON_DATA, "--set", "model.num_heads=5")),
        (2, "one of paper, small, tiny", ("train", "--preset", "huge", "--data", "x", "-o", "y")),
        (2, "--device: got 'tpu'", (*ON_DATA, "--device", "tpu")),
        (3, "there is no data set in", (*TINY, "--data", "nowhere")),
        (2, "study 'nosuch': not in the store", ("show", "nosuch/t00000", "--home", "home")),
        (2, "expected STUDY/t00017", ("rerun", "nosuch", "--home", "home")),
        (2, "expected val or test", ("evaluate", "x", "--data", "{data}", "--split", "dev")),
        (2, "expected a .safetensors file", ("weights", "add", "resnet50", "none.bin")),
        (4, "Not a directory", (*TINY[:3], "-o", "{data}/manifest.json/x", "--data", "{data}")),
    ],
)
def test_wrong_input(code, message, arguments, data_folder, monkeypatch, capsys):
    filled = [argument.format(data=data_folder) for argument in arguments]
    got, _, err = call(monkeypatch, capsys, *filled)
    assert got == code, err
    assert message in err
    assert "Traceback" not in err


QUICK = """
    data.image_size=32 data.labeled_ratio=0.5 data.num_target_points=64 model.num_points=32
    pretrain.steps=2 pretrain.epochs=1 semi.steps=1 semi.epochs=1
"""


def test_a_trial_from_training_to_evaluation(data_folder, monkeypatch, capsys, tmp_path):
    settings = [word for value in QUICK.split() for word in ("--set", value)]
    train = (*TINY, "--data", str(data_folder), *settings, "--json")
    code, out, err = call(monkeypatch, capsys, *train)
    assert code == 0, err
    assert json.loads(out)["epochs"] == 3
    code, _, err = call(monkeypatch, capsys, *train)
    assert code == 5
    assert "add --resume" in err
    code, out, err = call(
        monkeypatch, capsys, "evaluate", "out", "--data", str(data_folder), "--json"
    )
    assert code == 0, err
    found = json.loads(out)
    assert found["count"] == 8
    assert set(found["cd_l1"]) == {"sample_mean", "category_mean", "per_category"}
    weights = tmp_path / "out" / "checkpoint" / "student.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    code, _, err = call(monkeypatch, capsys, *train, "--resume")
    assert code == 3
    assert "student.safetensors is damaged: sha256" in err


def test_without_a_study_a_list_says_where_it_looked(monkeypatch, capsys):
    code, out, _ = call(monkeypatch, capsys, "studies", "--home", "home")
    assert code == 0
    assert " ".join(out.split()).endswith("home/store; `ss3d search` makes one")


def test_config_names_phases_and_values_as_they_are_given(monkeypatch, capsys):
    code, out, _ = call(monkeypatch, capsys, "config", "--preset", "tiny")
    words = [line.split() for line in out.replace("│", " ").splitlines()]
    listed = {row[0]: row[1:3] for row in words if len(row) > 2}
    assert code == 0
    assert listed["data.categories"] == ["null", "pretrain"]
    assert listed["semi.enabled"] == ["true", "semi"]
