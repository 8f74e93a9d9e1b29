import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from mlflow import MlflowClient
from PIL import Image
from tracking_records import make_trial, write_best
from typer.testing import CliRunner, Result

from ss3d.cli import promotion, registry
from ss3d.config import canonical_json
from ss3d.errors import CheckpointError, ConfigError, RefusedError, ServiceError
from ss3d.report.clouds import read_ply
from ss3d.settings import Settings
from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.tracking.ledger import read_ledger
from ss3d.tracking.registry import promote
from ss3d.tracking.served_model import load_model


def invoke(settings: Settings, *arguments: object) -> Result:
    app = typer.Typer()
    for command in (promotion.promote, registry.rollback, registry.registry):
        app.command()(command)
    return CliRunner().invoke(app, [*map(str, arguments), "--home", str(settings.home)])


def run(settings: Settings, *arguments: object) -> Any:
    outcome = invoke(settings, *arguments, "--json")
    if outcome.exception is not None:
        raise outcome.exception
    return json.loads(outcome.stdout)


def snapshot(home: Path) -> dict[str, str]:
    """Return the sha256 of every file under a folder."""
    files = (path for path in home.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def gates(tmp_path: Path) -> Path:
    path = tmp_path / "gates.toml"
    path.write_text("margin = 0.1\nclean_lineage = true\n")
    return path


def test_a_closed_gate_writes_nothing_unless_it_is_forced_with_a_reason(
    settings: Settings, store: DirectoryStore, put_trial: Callable, gates: Path, tmp_path: Path
) -> None:
    for number, value in enumerate((11.0, 10.5)):
        put_trial(make_trial(number, "complete", value=value + 1), cd_l1=value)
    assert run(settings, "promote", "demo/t00000", "--model", "chairs")["version"] == 1

    second = ("promote", "demo", "--model", "chairs", "--gates", gates)
    before = snapshot(settings.home)
    picture = tmp_path / "shown" / "challenge.png"
    dry = invoke(settings, *second, "--dry-run", "--picture", picture, "--json")
    assert isinstance(dry.exception, RefusedError)
    assert dry.exception.exit_code == 5
    shown = json.loads(dry.stdout)
    assert (shown["version"], shown["open"], shown["dry_run"]) == (None, False, True)
    assert (shown["challenge"]["gain"]["mean"], shown["challenge"]["gain"]["low"]) == (0.5, 0.5)
    assert [c["category"] for c in shown["challenge"]["categories"]] == ["chair", "table"]
    assert {a["gate"]: a["passed"] for a in shown["gates"]} == {
        "margin": True,
        "clean_lineage": False,
    }
    with Image.open(picture) as drawn:
        assert drawn.width > 900
    with pytest.raises(RefusedError, match="clean_lineage: code c0c0"):
        run(settings, *second)
    assert snapshot(settings.home) == before  # neither a dry run nor a refusal writes anything

    forced = run(settings, *second, "--force", "--reason", "the code only got comments")
    assert (forced["version"], forced["previous"], forced["forced"]) == (2, 1, True)
    entry = read_ledger(store, "chairs").head
    assert (entry.forced, entry.reason) == (True, "the code only got comments")
    assert [answer.passed for answer in entry.gates] == [True, False]
    client = MlflowClient(settings.tracking_uri)
    tags = client.get_model_version("chairs", "2").tags
    assert tags["ss3d.forced"] == "clean_lineage"
    assert tags["ss3d.reason"] == "the code only got comments"
    assert tags["ss3d.gates"] == "1 of 2 open"


def test_a_candidate_that_is_worse_and_asked_by_no_gate_is_noted(
    settings: Settings, put_trial: Callable, gates: Path
) -> None:
    for number, value in enumerate((10.5, 11.0)):
        put_trial(make_trial(number, "complete", value=value + 1), cd_l1=value)
    run(settings, "promote", "demo/t00000", "--model", "chairs")
    worse = ("promote", "demo/t00001", "--model", "chairs", "--dry-run")
    assert "worse than the champion" in invoke(settings, *worse).stderr
    assert "worse than the champion" not in invoke(settings, *worse, "--gates", gates).stderr


def test_who_was_champion_when_and_why(
    settings: Settings, store: DirectoryStore, put_trial: Callable
) -> None:
    for number in range(2):
        put_trial(make_trial(number, "complete"))
        run(settings, "promote", f"demo/t0000{number}", "--model", "chairs")
    again = run(settings, "promote", "demo/t00001", "--model", "chairs")
    assert (again["version"], again["previous"]) == (2, 1)  # the champion stays: nothing is made
    assert read_ledger(store, "chairs").number == 2

    back = run(settings, "rollback", "chairs", "--reason", "thin legs are lost")
    assert (back["version"], back["previous"], back["trial"]) == (1, 2, "t00000")
    aliases = MlflowClient(settings.tracking_uri).get_registered_model("chairs").aliases
    assert {name: int(version) for name, version in aliases.items()} == {
        "champion": 1,
        "previous": 2,
    }
    assert run(settings, "rollback", "chairs")["version"] == 2

    history = run(settings, "registry", "chairs")
    assert [(e["action"], e["version"], e["reason"]) for e in history["entries"]] == [
        ("promote", 1, ""),
        ("promote", 2, ""),
        ("rollback", 1, "thin legs are lost"),
        ("rollback", 2, ""),
    ]
    assert [e["until"] for e in history["entries"]] == [
        *(e["at"] for e in history["entries"][1:]),
        None,
    ]
    assert history["aliases"] == {"champion": 2, "previous": 1}
    assert [(one["model"], one["version"]) for one in run(settings, "registry")] == [("chairs", 2)]
    text = invoke(settings, "registry", "chairs").stdout
    assert "rollback: thin legs are lost" in " ".join(text.split())


def test_a_promoted_folder_needs_no_mlflow(
    settings: Settings, put_trial: Callable, gates: Path, tmp_path: Path
) -> None:
    put_trial(make_trial(0, "complete"))
    before = (settings.home / "mlflow.db").read_bytes()
    target = tmp_path / "out" / "chairs"
    with pytest.raises(RefusedError, match="1 of 2 gates are closed"):
        run(settings, "promote", "demo", "--to", target, "--gates", gates)
    assert not target.parent.exists()
    force = ("--force", "--reason", "for phones")
    run(settings, "promote", "demo", "--to", target, "--gates", gates, *force)
    assert (settings.home / "mlflow.db").read_bytes() == before
    assert load_model(target).config.model.num_points == 64
    assert read_ply(target / "clouds" / "chair-1.ply").shape == (64, 3)
    card = (target / "README.md").read_text()
    assert "`val/cd_l1` **10.500** [10.000, 11.000] on 2 validation models" in card
    assert "| clean_lineage | closed, forced |" in card
    assert "reason: for phones" in card
    with pytest.raises(RefusedError, match="exists already"):
        run(settings, "promote", "demo", "--to", target)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "one of --model NAME and --to DIR"),
        (("--model", "chairs", "--to", "x"), "one of --model NAME and --to DIR"),
        (("--model", "../chairs"), "model name"),
        (("--model", "chairs", "--force"), "expected a --reason"),
        (("--model", "chairs", "--picture", "x.gif"), r"expected \.png"),
        (("--model", "chairs", "--gates", "nowhere.toml"), r"nowhere\.toml: cannot be read"),
    ],
)
def test_wrong_options_are_told_before_anything_is_written(
    settings: Settings, put_trial: Callable, options: tuple[str, ...], message: str
) -> None:
    put_trial(make_trial(0, "complete"))
    before = snapshot(settings.home)
    with pytest.raises(ConfigError, match=message):
        run(settings, "promote", "demo", *options)
    assert snapshot(settings.home) == before


def test_a_directory_whose_training_has_not_ended_is_named(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "run" / "checkpoint").mkdir(parents=True)
    with pytest.raises(CheckpointError, match="run: holds no best/student"):
        run(settings, "promote", tmp_path / "run", "--model", "chairs")


def test_a_dry_run_without_a_champion_tells_that_there_is_no_picture(
    settings: Settings, put_trial: Callable, tmp_path: Path
) -> None:
    put_trial(make_trial(0, "complete"))
    picture = tmp_path / "x.png"
    asked = ("promote", "demo", "--model", "chairs", "--dry-run", "--picture", picture)
    told = invoke(settings, *asked)
    assert "would be the champion; there is none yet" in told.stdout
    assert f"no {picture}: there is no other champion" in told.stderr.replace("\n", "")
    assert json.loads(invoke(settings, *asked, "--json").stdout)["picture"] is None
    assert not picture.exists()


def test_there_is_nothing_to_roll_back_to(settings: Settings, tmp_path: Path) -> None:
    for command in ("rollback", "registry"):
        with pytest.raises(ConfigError, match="never promoted to; there are: none"):
            run(settings, command, "chairs")
    assert run(settings, "registry") == []
    write_best(tmp_path / "run" / "best")
    run(settings, "promote", tmp_path / "run", "--model", "chairs")
    with pytest.raises(RefusedError, match="version 1 is its only champion"):
        run(settings, "rollback", "chairs")


def test_an_mlflow_that_lost_its_versions_is_told_and_the_ledger_stays(
    settings: Settings, store: DirectoryStore, put_trial: Callable, migrated_database: Path
) -> None:
    for number in range(2):
        put_trial(make_trial(number, "complete"))
    run(settings, "promote", "demo/t00000", "--model", "chairs")
    empty = Settings(home=settings.home.parent / "empty", store=settings.store_address)
    empty.home.mkdir()
    (empty.home / "mlflow.db").write_bytes(migrated_database.read_bytes())
    elsewhere = ("--store", settings.store_address)
    found = run(empty, "registry", "chairs", *elsewhere)
    assert found["repaired"] == ["champion: version 1 of the ledger is not in this MLflow"]
    assert [entry["version"] for entry in found["entries"]] == [1]
    again = run(empty, "promote", "demo/t00001", "--model", "chairs", *elsewhere)
    assert (again["version"], again["previous"]) == (1, None)  # another MLflow's version 1
    assert read_ledger(store, "chairs").number == 2
    assert run(empty, "registry", "chairs", *elsewhere)["aliases"] == {"champion": 1}


def test_who_is_champion_is_told_where_the_aliases_could_not_follow(
    settings: Settings, store: DirectoryStore, put_trial: Callable
) -> None:
    put_trial(make_trial(0, "complete"))

    class GoesAway(DirectoryStore):
        """A store that answers no more once the ledger's entry is written."""

        is_away = False

        def put_new(self, key: str, data: bytes) -> str:
            version = super().put_new(key, data)
            self.is_away = "/ledger/" in key
            return version

        def list(self, prefix: str) -> Iterator[str]:
            if self.is_away:
                raise ServiceError("the store does not answer")
            return super().list(prefix)

    away = GoesAway(Path(settings.store_address))
    with pytest.raises(ServiceError, match=r"version 1 is champion.* does not answer"):
        promote(away, settings, "demo", None, "chairs")
    assert read_ledger(store, "chairs").head.version == 1
    found = run(settings, "registry", "chairs")
    assert found["repaired"] == [
        "champion: was not set, is version 1 as the ledger says",
        "candidate: version 1 is the champion and no candidate",
    ]
    assert found["aliases"] == {"champion": 1}


def test_a_ledger_of_the_first_ss3d_is_read(store: DirectoryStore) -> None:
    entry = {
        "schema": 1, "action": "promote", "at": 1.0, "model": "chairs", "version": 4,
        "alias": "champion", "study": "demo", "trial": "t00000", "previous": None,
    }  # fmt: skip
    data = canonical_json(entry).encode()
    store.put_new(layout.ledger("chairs", "000001-promote.json"), data)
    ledger = read_ledger(store, "chairs")
    assert (ledger.number, ledger.head.version, ledger.head.origin) == (1, 4, "demo/t00000")
