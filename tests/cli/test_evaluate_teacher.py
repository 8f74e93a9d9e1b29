"""`ss3d evaluate --teacher`: the newest checkpoint's teacher, measured as the student is."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ss3d.cli.main import app
from ss3d.config import TrialConfig, canonical_json
from ss3d.errors import CheckpointError, ConfigError
from ss3d.store import layout
from ss3d.store.bundle import put_bundle
from ss3d.store.directory import DirectoryStore
from ss3d.trial.files import read_json
from ss3d.trial.records import TrialSpec

TINY = {
    "pretrain.steps": 4, "pretrain.epochs": 2, "semi.steps": 4, "semi.epochs": 2,
    "data.image_size": 32, "data.num_target_points": 64, "data.labeled_ratio": 0.5,
    "model.num_points": 32, "model.cnn_widths": "[8, 16]", "model.width": 16,
    "model.stage_widths": "[8, 8, 8]", "model.num_neighbors": 4, "semi.ema_decay": 0.5,
}  # fmt: skip


def ss3d(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def home(data_folder, tmp_path_factory) -> Path:
    """A trial, and one that ends with its pretrained state."""
    home = tmp_path_factory.mktemp("home")
    for name, changes in (("full", {}), ("none", {"semi.enabled": "false"})):
        settings = [f"{path}={value}" for path, value in (TINY | changes).items()]
        flags = [part for setting in settings for part in ("--set", setting)]
        ss3d("train", "--preset", "tiny", "-o", home / name, "--data", data_folder,
             "--home", home, "--device", "cpu", "--json", *flags)  # fmt: skip
    return home


def measure(model: object, home: Path, data_folder: Path, *more: object) -> dict:
    common = ("--data", data_folder, "--home", home, "--device", "cpu", "--json")
    return json.loads(ss3d("evaluate", model, *common, *more))


def test_the_teacher_of_a_directory_is_that_of_its_last_epoch(home, data_folder):
    found = measure(home / "full", home, data_folder, "--teacher")
    last = read_json(home / "full" / "epochs.json")["reports"][-1]
    assert found["cd_l1"]["sample_mean"] == pytest.approx(
        last["metrics"]["val/cd_l1_teacher"], rel=1e-6
    )
    assert found["network"] == {"role": "teacher", "phase": "semi", "epoch": 2}
    assert found["labels"] == {"train": 8, "choose": 8}
    student = measure(home / "full", home, data_folder)
    assert student["network"]["role"] == "student"
    assert student["cd_l1"]["sample_mean"] != found["cd_l1"]["sample_mean"]


def test_a_person_reads_which_network_it_was(home, data_folder):
    text = ss3d("evaluate", home / "full", "--data", data_folder, "--home", home,
                "--device", "cpu", "--teacher")  # fmt: skip
    assert "teacher, semi epoch 2" in " ".join(text.split())


def test_a_reading_of_the_test_models_counts_by_network(home, data_folder):
    readings = [
        measure(home / "full", home, data_folder, "--split", "test", *flags)["test_readings"]
        for flags in ((), ("--teacher",), ("--teacher",))
    ]
    assert [(one["of_model"], one["of_data"]) for one in readings] == [(1, 1), (1, 2), (2, 3)]
    assert {one["recorded_in"] for one in readings} == {str(home / "full")}


@pytest.fixture(scope="module")
def study(home, data_folder) -> DirectoryStore:
    """Trial 3 of a study with two checkpoints, the older one damaged; trial 4 has none."""
    store = DirectoryStore(home / "store")
    full = home / "full"
    store.put_new(layout.study("demo", "study.json"), canonical_json({"schema": 1}).encode())
    for number in (3, 4):
        spec = TrialSpec(
            study="demo", trial=layout.trial_id(number), params={}, distributions={}, stratum={},
            config=TrialConfig.parse(read_json(full / "config.json")), pretrain_key="p" * 64,
            code_version="c", data_hash=read_json(full / "lineage.json")["data_hash"],
            versions={}, attrs={}, proposed_at=1.0,
        )  # fmt: skip
        store.put_new(layout.trial("demo", spec.trial, "spec.json"), spec.to_json())
    damaged = home / "damaged"
    shutil.copytree(full / "checkpoint", damaged)
    (damaged / "teacher.safetensors").write_bytes(b"x")
    for name, files in (("a2-000001", full / "checkpoint"), ("a1-000009", damaged)):
        put_bundle(store, layout.trial("demo", "t00003", "checkpoints", name), files)
    return store


def test_the_teacher_of_a_trial_is_that_of_the_newest_bundle(study, home, data_folder):
    found = measure("demo/t00003", home, data_folder, "--teacher")
    of_directory = measure(home / "full", home, data_folder, "--teacher")
    assert found["cd_l1"] == of_directory["cd_l1"]
    assert found["network"] == of_directory["network"]
    assert found["labels"] == of_directory["labels"]


def refused(error: type[Exception], message: str, model: object, home: Path, data: Path) -> None:
    with pytest.raises(error, match=message):
        measure(model, home, data, "--teacher")


def test_where_there_is_no_teacher_the_reason_is_named(study, home, data_folder, tmp_path):
    refused(ConfigError, r"semi\.enabled = false", home / "none", home, data_folder)
    refused(ConfigError, "no checkpoint of `ss3d train`", home / "full" / "best", home, data_folder)
    refused(ConfigError, "the student alone", "models:/chair@champion", home, data_folder)
    refused(ConfigError, "trial demo/t00005: there is none", "demo/t00005", home, data_folder)
    refused(CheckpointError, "t00004 has no checkpoint", "demo/t00004", home, data_folder)
    young = tmp_path / "young"
    shutil.copytree(home / "full", young)
    state = json.loads((young / "checkpoint" / "state.json").read_text())
    del state["sha256"]["teacher"]
    state |= {"phase": "pretrain", "epoch": 1}
    (young / "checkpoint" / "state.json").write_text(json.dumps(state))
    refused(ConfigError, "epoch 1 of pretraining", young, home, data_folder)
    (young / "checkpoint" / "state.json").write_text("{}")
    refused(CheckpointError, "does not fit", young, home, data_folder)


def test_a_damaged_teacher_is_refused(home, data_folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(home / "full", copy)
    weights = copy / "checkpoint" / "teacher.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    refused(CheckpointError, r"teacher\.safetensors is damaged", copy, home, data_folder)
