import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from tracking_records import make_trial
from typer.testing import CliRunner, Result

from ss3d.cli import lifecycle, predict, promotion
from ss3d.errors import CheckpointError, ConfigError
from ss3d.report.clouds import read_ply
from ss3d.settings import Settings
from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.trial.records import TrialRecord


def invoke(*arguments: object) -> Result:
    app = typer.Typer()
    for command in (promotion.promote, predict.predict, lifecycle.sync):
        app.command()(command)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def run(*arguments: object) -> dict:
    outcome = invoke(*arguments)
    if outcome.exception is not None:
        raise outcome.exception
    return json.loads(outcome.stdout)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "chair.png"
    Image.fromarray(np.full((80, 60, 4), 255, dtype=np.uint8)).save(path)
    return path


def test_from_a_study_to_a_cloud(
    settings: Settings, put_trial: Callable[[TrialRecord], None], image: Path, tmp_path: Path
) -> None:
    put_trial(make_trial(0, "complete"))
    home = ("--home", settings.home, "--json")
    assert run("sync", "demo", *home)["trials"] == 1
    promoted = run("promote", "demo", "--model", "chairs", *home)
    assert (promoted["version"], promoted["alias"], promoted["previous"]) == (1, "champion", None)
    assert (promoted["study"], promoted["trial"], promoted["gates"]) == ("demo", "t00000", [])
    output, picture = tmp_path / "new" / "chair.ply", tmp_path / "shown" / "p.png"
    model = ("--model", "models:/chairs@champion")
    shown = run("predict", image, *model, "-o", output, "--picture", picture, *home)
    assert shown["predictions"] == [
        {"image": str(image), "cloud": str(output), "num_points": 64, "warning": ""}
    ]
    assert read_ply(output).shape == (64, 3)
    with Image.open(picture) as drawn:
        assert drawn.width > 500


def test_a_store_elsewhere_is_named_by_store(
    settings: Settings, put_trial: Callable[[TrialRecord], None], image: Path, tmp_path: Path
) -> None:
    put_trial(make_trial(0, "complete"))
    elsewhere = shutil.move(settings.store_address, tmp_path / "elsewhere")
    home = ("--home", settings.home, "--json")
    with pytest.raises(ConfigError, match="not in the store"):
        run("sync", "demo", *home)
    home += ("--store", elsewhere)
    assert run("sync", "demo", *home)["trials"] == 1
    assert run("promote", "demo/t00000", "--model", "chairs", *home)["version"] == 1
    output = tmp_path / "chair.npy"
    run("predict", image, "--model", "demo/t00000", "-o", output, *home)
    assert np.load(output).shape == (64, 3)


def test_a_person_reads_which_trial_of_which_study_was_promoted(
    settings: Settings, put_trial: Callable[[TrialRecord], None]
) -> None:
    put_trial(make_trial(0, "complete"))
    outcome = invoke("promote", "demo", "--model", "chairs", "--home", settings.home)
    assert outcome.stdout.startswith("demo/t00000 is version 1 of chairs and its champion")


def test_where_is_refused_for_a_trial_that_is_named(settings: Settings) -> None:
    with pytest.raises(ConfigError, match="demo/t00000 names one already"):
        run(
            *("promote", "demo/t00000", "--where", "data.labeled_ratio=0.2"),
            *("--model", "chairs", "--home", settings.home),
        )


def test_sync_names_what_is_damaged_and_writes_the_rest(
    settings: Settings, store: DirectoryStore, put_trial: Callable[[TrialRecord], None]
) -> None:
    for number in range(3):
        put_trial(make_trial(number, "complete"))
    root = Path(settings.store_address)
    (root / layout.trial("demo", "t00000", "result.json")).write_bytes(b"{")
    (root / layout.trial("demo", "t00001", "best", "student.safetensors")).write_bytes(b"cut")
    outcome = invoke("sync", "demo", "--home", settings.home, "--json")
    assert isinstance(outcome.exception, CheckpointError)
    assert outcome.exception.exit_code == 3
    value = json.loads(outcome.stdout)
    assert set(value["problems"]) == {"trial demo/t00000", "trial demo/t00001"}
    assert value["trials"] == 2
    assert value["files"] > 0
    assert "trial demo/t00001: " in outcome.stderr
