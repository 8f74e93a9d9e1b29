"""`ss3d gains` and the gains in `ss3d show`, on a store with exports."""

import csv
import io
import json
from pathlib import Path

import pytest
from gain_records import FAILURE, PRETRAIN, put_shared, put_study, put_trial, spread
from PIL import Image
from typer.testing import CliRunner, Result

from ss3d.cli.main import app
from ss3d.cli.output import console
from ss3d.data.dataset import open_dataset
from ss3d.errors import CheckpointError, ConfigError
from ss3d.store import layout
from ss3d.store.directory import DirectoryStore

FAILED = "dd" * 32
LONG = "confidence weight, index-wise consistency"


@pytest.fixture
def home(tmp_path: Path, data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two arms of two replicates, one trial pruned, one with a control that failed."""
    monkeypatch.setattr(console, "width", 100)
    store = DirectoryStore(tmp_path / "store")
    manifest = open_dataset(DirectoryStore(data_folder)).manifest
    data = {"name": "shapes", "address": str(data_folder), "content_hash": manifest.content_hash}
    put_study(store, data=data)
    put_shared(store, "pretrain", spread(10.0, width=0.3, seed=1))
    put_shared(store, "control", spread(9.0, width=0.3, seed=2))
    put_shared(store, "control", spread(9.0), key=FAILED, is_complete=False)
    store.put_new(layout.shared("control", FAILED, "log", "a1.jsonl"), FAILURE)
    for number, (arm, value) in enumerate([("full", 8.0), (LONG, 8.99), ("full", 8.05)]):
        stratum = {"replicate": number // 2, "arm": arm}
        put_trial(store, number, spread(value, width=0.3, seed=number + 5), stratum=stratum)
    late = {"replicate": 1, "arm": LONG}
    put_trial(store, 3, None, state="pruned", stratum=late)
    put_trial(store, 4, spread(9.0), stratum=late, keys=(PRETRAIN, FAILED))
    return tmp_path


def ss3d(home: Path, *arguments: object) -> Result:
    words = [*map(str, arguments), "--home", str(home)]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def test_json_has_arms_trials_and_what_was_left_out(home: Path) -> None:
    found = json.loads(ss3d(home, "gains", "demo", "--json").stdout)
    assert [arm["label"] for arm in found["arms"]] == ["full", LONG]
    full, other = found["arms"]
    assert full["over_control"]["mean"] == pytest.approx(0.975)
    assert full["over_pretrained"]["mean"] == pytest.approx(1.975)
    assert full["over_control"]["verdict"] == "better"
    assert (full["num_replicates"], full["num_labeled"]) == (2, 8)
    assert other["over_reference"]["verdict"] == "worse"
    assert other["over_control"]["reason"] == "1 of 2 trials left out: its control failed"
    assert [trial["trial"] for trial in found["trials"]] == ["t00000", "t00001", "t00002", "t00004"]
    assert found["trials"][3]["over_control"] == {
        "mean": None, "low": None, "high": None, "verdict": None, "num_models": None,
        "num_replicates": None, "reason": "its control failed",
    }  # fmt: skip
    assert found["left_out"] == {"pruned": 1}


def test_the_arms_fit_100_columns_and_say_how_to_read_them(home: Path) -> None:
    text = ss3d(home, "gains", "demo").stdout
    assert max(map(len, text.splitlines())) <= 100
    words = " ".join(text.split())
    assert "+0.975 +" in words
    assert "…" not in words.replace("…+", "").replace("…-", "")  # nothing is cut off
    assert "40 validation models, " in words
    assert "a positive gain is a lower (better) cd_l1" in words
    assert "'+' is better, '-' worse, '=' not distinguishable" in words
    assert "1 of 2 trials left out: its control failed" in words
    assert "no final export: 1 pruned" in words
    assert "t00000" not in words


def test_trials_are_told_on_demand(home: Path) -> None:
    text = ss3d(home, "gains", "demo", "--trials").stdout
    assert max(map(len, text.splitlines())) <= 100
    assert "t00000" in text
    assert "t00004: its control failed" in " ".join(text.split())


def test_csv_has_a_row_per_arm_or_trial(home: Path) -> None:
    arms = list(csv.DictReader(io.StringIO(ss3d(home, "gains", "demo", "--csv").stdout)))
    assert [arm["trials"] for arm in arms] == ["t00000 t00002", "t00001 t00004"]
    assert float(arms[0]["over_control.mean"]) == pytest.approx(0.975)
    text = ss3d(home, "gains", "demo", "--csv", "--trials").stdout
    trials = list(csv.DictReader(io.StringIO(text)))
    assert [trial["trial"] for trial in trials] == ["t00000", "t00001", "t00002", "t00004"]
    assert trials[3]["over_control.reason"] == "its control failed"


def test_without_arms_trials_are_told_as_well(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    put_study(store, controls=False)
    put_shared(store, "pretrain", spread(10.0))
    put_trial(store, 0, spread(8.0), keys=(PRETRAIN, ""))
    result = ss3d(tmp_path, "gains", "demo")
    assert "all trials" in result.stdout
    assert "t00000" in result.stdout
    assert "the study has no controls" in result.stdout
    assert "labelled models are not counted" in " ".join(result.stderr.split())


def test_a_study_without_complete_trials_is_no_error(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    put_study(store)
    put_trial(store, 0, None, state="running", stratum={"arm": "full"})
    text = ss3d(tmp_path, "gains", "demo", "-o", tmp_path / "gains.png").stdout
    assert "No gain can be told yet" in text
    assert "1 running" in text


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_the_picture_has_a_row_per_arm(home: Path, suffix: str) -> None:
    output = home / "figures" / f"gains.{suffix}"
    found = json.loads(ss3d(home, "gains", "demo", "-o", output, "--json").stdout)
    assert found["figure"] == str(output)
    if suffix == "svg":
        assert "<svg" in output.read_text()
    if suffix == "pdf":
        assert output.read_bytes().startswith(b"%PDF")
    if suffix == "png":
        ss3d(home, "gains", "demo", "-o", home / "trials.png", "--trials")
        with Image.open(output) as arms, Image.open(home / "trials.png") as trials:
            assert arms.width == trials.width == 1000
            assert trials.height > arms.height
            colors = {color for _, color in arms.convert("RGB").getcolors(1 << 20)}
        assert {(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)} <= colors


def test_another_suffix_is_refused(home: Path) -> None:
    with pytest.raises(ConfigError, match=r"--output: got 'gains\.gif'"):
        ss3d(home, "gains", "demo", "-o", home / "gains.gif")


def test_a_damaged_export_is_named(home: Path) -> None:
    store = DirectoryStore(home / "store")
    store.delete(layout.trial("demo", "t00001", "best", "metrics.json"))
    with pytest.raises(CheckpointError, match=r"t00001/best: the export has no metrics\.json"):
        ss3d(home, "gains", "demo")


def test_show_tells_the_gains_of_a_trial(home: Path) -> None:
    words = " ".join(ss3d(home, "show", "demo/t00000").stdout.split())
    assert "gain over its control: +1.000 (" in words
    assert "), better; 40 validation models gain over its pretrained state: +2.000 (" in words
    found = json.loads(ss3d(home, "show", "demo/t00000", "--json").stdout)
    assert found["gains"]["over_pretrained"]["mean"] == pytest.approx(2.0)
    assert json.loads(ss3d(home, "show", "demo/t00003", "--json").stdout)["gains"] is None


def test_show_tells_why_a_control_failed(home: Path) -> None:
    text = ss3d(home, "show", "demo/t00004").stdout
    assert "gain over its control: none: its control failed" in text
    assert "control/a1 " in text
    assert "out of memory" in text


def test_show_of_a_trial_with_a_damaged_export_shows_the_rest(home: Path) -> None:
    store = DirectoryStore(home / "store")
    store.delete(layout.trial("demo", "t00001", "best", "metrics.json"))
    result = ss3d(home, "show", "demo/t00001")
    assert "demo/t00001: complete" in result.stdout
    assert "no gains of t00001" in " ".join(result.stderr.split())


def test_trials_have_a_column_of_gains_over_their_controls(home: Path) -> None:
    words = " ".join(ss3d(home, "trials", "demo").stdout.split())
    assert "vs control" in words
    assert "+1.000 +" in words
    assert "+0.010 =" in words
    found = {t["trial"]: t for t in json.loads(ss3d(home, "trials", "demo", "--json").stdout)}
    assert found["t00000"]["gains"]["over_control"]["mean"] == pytest.approx(1.0)
    assert found["t00003"]["gains"] is None
    assert found["t00004"]["gains"]["over_control"]["reason"] == "its control failed"
