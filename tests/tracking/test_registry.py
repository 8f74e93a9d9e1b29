import re
from collections.abc import Callable
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from PIL import Image
from servers.local_stack import ON_EACH_TRACKING
from tracking_records import make_trial, write_best

from ss3d.errors import CheckpointError, ConfigError, RefusedError
from ss3d.settings import Settings
from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.tracking.ledger import Entry, read_ledger
from ss3d.tracking.registry import promote, promote_directory, resolve_model
from ss3d.tracking.served_model import load_model
from ss3d.trial.records import TrialRecord

PutTrial = Callable[[TrialRecord], None]


@ON_EACH_TRACKING
def test_promoting_twice_moves_champion_and_keeps_previous(
    settings: Settings, store: DirectoryStore, put_trial: PutTrial
) -> None:
    put_trial(make_trial(0, "complete", value=12))
    put_trial(make_trial(1, "complete", value=11))
    put_trial(make_trial(2, "pruned", value=5))
    first = promote(store, settings, "demo", "t00000", "chairs")
    second = promote(store, settings, "demo", None, "chairs")
    assert first == {
        "model": "chairs",
        "version": 1,
        "alias": "champion",
        "study": "demo",
        "trial": "t00000",
        "previous": None,
        "repaired": [],
    }
    assert second == first | {"version": 2, "trial": "t00001", "previous": 1}
    client = MlflowClient(settings.tracking_uri)
    aliases = client.get_registered_model("chairs").aliases
    assert {name: int(version) for name, version in aliases.items()} == {
        "champion": 2,
        "previous": 1,
    }
    champion = client.get_model_version_by_alias("chairs", "champion")
    assert champion.description.startswith("# demo/t00001\n")
    assert client.get_run(champion.run_id).data.tags["ss3d.trial"] == "demo/t00001"
    keys = list(store.list(layout.ledger("chairs") + "/"))
    assert [key.rsplit("/", 1)[1] for key in keys] == [
        "000001.json",
        "000002.json",
    ]
    assert read_ledger(store, "chairs").head.outcome([]) == second


def test_the_registered_model_loads_and_predicts_without_pickle(
    settings: Settings,
    store: DirectoryStore,
    put_trial: PutTrial,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    put_trial(make_trial(0, "complete"))
    promote(store, settings, "demo", None, "chairs")
    network = resolve_model(settings, "models:/chairs@champion")
    model = network.parents[1]
    assert (model / "MLmodel").is_file()
    suffixes = {path.suffix for path in model.rglob("*") if path.is_file()}
    assert not suffixes & {".pkl", ".pickle", ".pt", ".pth", ".pyc", ".joblib"}
    assert "pickle" not in (model / "MLmodel").read_text()

    served = mlflow.pyfunc.load_model(str(model))
    pixels = np.random.default_rng(0).integers(0, 256, (137, 137, 4), dtype=np.uint8)
    pixels[..., 3] = np.pad(np.full((99, 99), 255), 19)
    path, mask = model.parent / "image.png", model.parent / "mask.png"
    Image.fromarray(pixels).save(path)
    expected = load_model(network).predict([pixels, pixels])
    table = pd.DataFrame({"image": [str(path), path.read_bytes()]})
    np.testing.assert_array_equal(served.predict(table), expected)
    Image.fromarray(pixels[..., 3]).save(mask)
    Image.fromarray(pixels[..., :3]).save(path)
    masked = pd.DataFrame({"image": [path.read_bytes()], "mask": [mask.read_bytes()]})
    np.testing.assert_allclose(served.predict(masked), expected[:1], atol=1e-6)
    assert served.predict(served.input_example).shape == (1, 64, 3)
    facts = served.metadata.metadata
    assert (facts["trial"], facts["data_hash"]) == ("demo/t00000", "d" * 64)
    assert "canonical frame" in facts["output"]
    assert (model / "README.md").read_text().startswith("# demo/t00000\n")
    outputs = served.metadata.get_output_schema().to_dict()
    assert outputs[0]["tensor-spec"]["shape"] == (-1, 64, 3)
    assert re.search(r"^torch==[\d.]+$", (model / "requirements.txt").read_text(), re.MULTILINE)


def test_version_alias_trial_and_directory_name_the_same_weights(
    settings: Settings, store: DirectoryStore, put_trial: PutTrial, tmp_path: Path
) -> None:
    put_trial(make_trial(0, "complete"))
    promote(store, settings, "demo", None, "chairs")
    names = ["models:/chairs@champion", "models:/chairs/1", "demo/t00000"]
    weights = {
        (resolve_model(settings, name) / "student.safetensors").read_bytes() for name in names
    }
    write_best(tmp_path / "run" / "best")
    assert len(weights) == 1
    assert resolve_model(settings, str(tmp_path / "run")) == tmp_path / "run" / "best"
    assert resolve_model(settings, str(tmp_path / "run" / "best")) == tmp_path / "run" / "best"
    network = resolve_model(settings, "models:/chairs/1")
    assert resolve_model(settings, str(network.parents[1])) == network  # MLflow's own folder


def test_a_fetched_network_is_complete_and_never_replaced(
    settings: Settings, store: DirectoryStore, put_trial: PutTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_trial(make_trial(0, "complete"))
    first = resolve_model(settings, "demo/t00000")
    rename = Path.rename

    def rename_late(self: Path, target: Path) -> Path:
        """As if another process had fetched the same meanwhile."""
        rename(aside, target)
        return rename(self, target)

    aside = first.rename(settings.home / "aside")
    monkeypatch.setattr(Path, "rename", rename_late)
    inode = (aside / "student.safetensors").stat().st_ino
    for _ in range(2):
        assert resolve_model(settings, "demo/t00000") == first
        assert (first / "student.safetensors").stat().st_ino == inode
    assert [path.name for path in first.parent.iterdir()] == [first.name]


def test_a_pruned_trial_has_no_weights_and_says_so(settings: Settings, put_trial: PutTrial) -> None:
    put_trial(make_trial(0, "pruned"))
    with pytest.raises(ConfigError, match="demo/t00000: has no weights, for it is pruned"):
        resolve_model(settings, "demo/t00000")


def test_a_directory_of_train_is_promoted(
    settings: Settings, store: DirectoryStore, tmp_path: Path
) -> None:
    write_best(tmp_path / "run" / "best")
    outcome = promote_directory(store, settings, tmp_path / "run", "alone")
    assert outcome["version"] == 1
    assert (outcome["study"], outcome["trial"]) == (None, str(tmp_path / "run"))
    assert (resolve_model(settings, "models:/alone@champion") / "config.json").is_file()
    with pytest.raises(CheckpointError, match="train it to its end"):
        promote_directory(store, settings, tmp_path, "alone")


@pytest.mark.parametrize(
    ("state", "reason"), [("pruned", "rung 2"), ("failed", "loss is NaN"), ("running", "")]
)
def test_only_complete_trials_are_promoted(
    state: str,
    reason: str,
    settings: Settings,
    store: DirectoryStore,
    put_trial: PutTrial,
) -> None:
    put_trial(make_trial(0, state, reason=reason))
    with pytest.raises(RefusedError, match=rf"demo/t00000 is {state}.*{reason}"):
        promote(store, settings, "demo", "t00000", "chairs")
    with pytest.raises(RefusedError, match="no complete trial"):
        promote(store, settings, "demo", None, "chairs")


def test_unknown_names_are_told_with_what_there_is(
    settings: Settings, store: DirectoryStore, put_trial: PutTrial
) -> None:
    put_trial(make_trial(0, "complete"))
    with pytest.raises(ConfigError, match="t00009"):
        promote(store, settings, "demo", "t00009", "chairs")
    with pytest.raises(ConfigError, match="other"):
        promote(store, settings, "other", None, "chairs")
    with pytest.raises(ConfigError, match="model name"):
        promote(store, settings, "demo", None, "../chairs")
    with pytest.raises(ConfigError, match="not registered; there are: none"):
        resolve_model(settings, "models:/chairs@champion")
    promote(store, settings, "demo", None, "chairs")
    with pytest.raises(ConfigError, match="no alias best; its aliases: champion = 1"):
        resolve_model(settings, "models:/chairs@best")
    with pytest.raises(ConfigError, match="no version 7"):
        resolve_model(settings, "models:/chairs/7")
    with pytest.raises(ConfigError, match="expected models:/NAME@champion"):
        resolve_model(settings, "chairs")


def test_several_strata_need_where(
    settings: Settings, store: DirectoryStore, put_trial: PutTrial
) -> None:
    put_trial(make_trial(0, "complete", value=14, ratio=0.1))
    put_trial(make_trial(1, "complete", value=11, ratio=0.2))
    with pytest.raises(RefusedError, match=r"--where data\.labeled_ratio=0\.1"):
        promote(store, settings, "demo", None, "chairs")
    outcome = promote(store, settings, "demo", None, "chairs", where={"data.labeled_ratio": "0.1"})
    assert outcome["trial"] == "t00000"


def test_the_second_of_two_promotions_at_once_is_refused(
    settings: Settings, store: DirectoryStore, put_trial: PutTrial
) -> None:
    put_trial(make_trial(0, "complete"))

    rival = Entry(
        action="promote",
        at=1.0,
        model="chairs",
        version=7,
        previous=None,
        study="demo",
        trial="t00009",
    )

    class Rivalry(DirectoryStore):
        """A store in which somebody else writes the ledger's entry just before us."""

        def put_new(self, key: str, data: bytes) -> str:
            if "/ledger/" in key:
                super().put_new(key, rival.to_json())
            return super().put_new(key, data)

    with pytest.raises(RefusedError, match=r"came first: version 7 \(demo/t00009\) is champion"):
        promote(Rivalry(Path(settings.store_address)), settings, "demo", None, "chairs")
    assert read_ledger(store, "chairs").entries == (rival,)
    with pytest.raises(ConfigError, match="no alias champion; its aliases: candidate = 1"):
        resolve_model(settings, "models:/chairs@champion")
