"""`ss3d rerun` on a trial that workers made: proofs, what-ifs and profiles."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cli.rerun_study import EPOCHS, TRIAL, invoke, make_study, rerun, ss3d

from ss3d.config import TrialConfig, canonical_json
from ss3d.errors import ConfigError, DataError, OutcomeError
from ss3d.settings import Settings
from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.store.opening import open_store
from ss3d.tracking.run_index import list_runs
from ss3d.trial.history import load_study_spec, load_trial_record


@pytest.fixture(scope="module")
def original(
    tmp_path_factory: pytest.TempPathFactory, data_folder: Path, quick_config: TrialConfig
) -> Path:
    """A home with a study; tests read it and write to copies."""
    home = tmp_path_factory.mktemp("original")
    make_study(str(home / "store"), str(data_folder), home, quick_config)
    return home


@pytest.fixture
def store(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DirectoryStore:
    """A copy of the store, which commands find by themselves; what is decoded is shared."""
    shutil.copytree(original / "store", tmp_path / "home" / "store")
    monkeypatch.setenv("SS3D_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SS3D_CACHE", str(original / "cache"))
    return DirectoryStore(tmp_path / "home" / "store")


def written(store: DirectoryStore) -> list[str]:
    """Return the keys of all that reruns keep."""
    folders = (layout.reruns("demo", "t00000"), layout.what_ifs("demo", "t00000"))
    return [key for folder in folders for key in store.list(folder)]


def original_seconds(store: DirectoryStore, after: int) -> float:
    reports = load_trial_record(store, "demo", "t00000").reports
    return sum(report.system["epoch_s"] for report in reports if report.epoch > after)


def test_with_the_bucket_alone_a_rerun_is_bitwise(
    s3_address: str,
    data_folder: Path,
    quick_config: TrialConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = open_store(f"{s3_address}/data")
    for path in data_folder.rglob("*"):
        if path.is_file():
            data.put_file(path.relative_to(data_folder).as_posix(), path)
    make_study(s3_address, data.address, tmp_path / "there", quick_config)
    shutil.rmtree(tmp_path / "there")
    monkeypatch.setenv("SS3D_HOME", str(tmp_path / "here"))
    monkeypatch.setenv("SS3D_STORE", s3_address)
    command = ("-m", "ss3d", "rerun", TRIAL, "--check", "--own-pretrain", "--json")
    fresh = subprocess.run([sys.executable, *command], cwd=tmp_path, capture_output=True)
    assert fresh.returncode == 0, fresh.stderr
    whole = json.loads(fresh.stdout)
    assert (whole["verdict"], whole["epochs"], whole["pretrain_epochs"]) == ("bitwise", 5, 2)
    assert (whole["expects_bitwise"], whole["changes"]) == (True, [])
    shards = sum(data.sizes("shards/").values())
    assert whole["estimate"]["bytes"] == {"data": shards}
    shared = rerun("--check", "--epochs", 1)
    assert (shared["verdict"], shared["epochs"], shared["pretrain_epochs"]) == ("bitwise", 2, 0)
    assert list(shared["estimate"]["bytes"]) == ["pretrained state"]  # the data are here by now
    listed = json.loads(ss3d("show", TRIAL, "--json"))["reruns"]
    assert [(one["verdict"], one["epochs"]) for one in listed] == [("bitwise", 5), ("bitwise", 2)]


def test_from_a_checkpoint_the_later_epochs_are_run_again(store: DirectoryStore) -> None:
    found = rerun("--from-epoch", EPOCHS - 2, "--check")
    assert (found["verdict"], found["epochs"], found["after"]) == ("bitwise", 2, EPOCHS - 2)
    assert list(found["estimate"]["bytes"]) == ["checkpoint"]
    assert found["estimate"]["seconds"] == pytest.approx(original_seconds(store, EPOCHS - 2))
    text = ss3d("show", TRIAL)
    assert f"on cpu: bitwise over 2 epochs after epoch {EPOCHS - 2}" in text


def test_what_the_original_says_otherwise_is_found_and_told(store: DirectoryStore) -> None:
    key = layout.trial("demo", "t00000", "result.json")
    blob = store.get(key)
    assert blob is not None
    tree = json.loads(blob.data)
    tree["reports"][2]["metrics"]["val/cd_l1"] += 1.0
    store.put_if(key, canonical_json(tree).encode(), blob.version)
    found = rerun("--no-record")
    assert found["verdict"] == "within tolerance"  # the last epoch is equal
    assert found["relative_difference"] == 0
    difference = found["first_difference"]
    assert (difference["epoch"], difference["name"]) == (2, "val/cd_l1")
    assert difference["original"] - difference["rerun"] == pytest.approx(1.0)
    assert written(store) == []
    with pytest.raises(OutcomeError, match="the rerun differs, first in semi epoch 2, val/cd_l1: "):
        invoke("rerun", TRIAL, "--check", "--epochs", 2)
    assert len(written(store)) == 1
    assert "differs" in ss3d("show", TRIAL)


def test_a_person_reads_what_to_expect_before_it_starts(store: DirectoryStore) -> None:
    key = layout.trial("demo", "t00000", "attempts", "a2.json")
    facts = {"schema": 1, "machine": {"device": "cpu", "host": "elsewhere", "system": "Plan9"}}
    store.put_new(key, canonical_json(facts).encode())
    lines = ss3d("rerun", TRIAL, "--epochs", 0, "--no-record").splitlines()
    assert lines[0].startswith("since the original: ")
    assert "elsewhere" in lines[0]
    assert lines[1].startswith("expected: bits may change by ")
    assert "system" in lines[1]
    assert "host" not in lines[1]
    assert lines[2].startswith("time: ")
    assert "to read: pretrained state" in lines[2]
    assert lines[3] == "verdict: bitwise over 1 epoch"


def test_a_what_if_stands_beside_the_original_in_store_and_mlflow(
    store: DirectoryStore, migrated_database: Path, tmp_path: Path
) -> None:
    shutil.copyfile(migrated_database, tmp_path / "home" / "mlflow.db")
    found = rerun("--set", "semi.lr=0.01", "--epochs", 2)
    first, second = (found["curves"][name] for name in ("original", "what_if"))
    assert list(second) == ["0", "1", "2"]
    assert first["0"] == second["0"]  # the pretrained state is shared
    assert first["2"] != second["2"]
    assert "verdict" not in found
    assert written(store) == [found["key"]]
    runs = list_runs(Settings(home=tmp_path / "home"), load_study_spec(store, "demo"), "what-if")
    assert [run.info.run_id for (run,) in runs.values()] == [found["run"]]
    assert "what if semi.lr=0.01" in ss3d("show", TRIAL)
    (listed,) = json.loads(ss3d("show", TRIAL, "--json"))["what_ifs"]
    assert listed["values"] == {"semi.lr": 0.01}


def test_a_what_if_of_the_pretraining_pretrains(store: DirectoryStore) -> None:
    found = rerun("--set", "pretrain.lr=0.01", "--epochs", 0, "--no-record")
    assert found["estimate"]["bytes"] == {}
    assert found["curves"]["what_if"]["0"] != found["curves"]["original"]["0"]
    assert written(store) == []


def test_without_mlflow_the_store_has_the_what_if(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SS3D_TRACKING", f"sqlite:///{tmp_path / 'file' / 'mlflow.db'}")
    result = invoke("rerun", TRIAL, "--set", "semi.lr=0.01", "--epochs", "0", "--json")
    assert result.exit_code == 0
    assert "`ss3d sync demo` writes it later" in result.stderr
    assert json.loads(result.stdout)["run"] is None
    assert len(written(store)) == 1


def test_a_profile_is_a_trace_and_a_table(store: DirectoryStore, tmp_path: Path) -> None:
    found: dict[str, Any] = rerun("--profile", tmp_path / "profile")
    assert (found["phase"], found["epoch"], found["steps"], found["traced_steps"]) == (
        "semi", 1, 1, 1
    )  # fmt: skip
    assert found["step_s"] > 0
    assert found["validation_s"] > 0
    own = [one["cpu_s"] for one in found["operations"]]
    assert own == sorted(own, reverse=True)
    names = {one["name"] for one in found["operations"]}
    assert "aten::mm" in names
    trace = json.loads((tmp_path / "profile" / "trace.json").read_text())
    assert names <= {event.get("name") for event in trace["traceEvents"]}
    assert written(store) == []


def test_an_interrupted_rerun_leaves_nothing(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def bar(*_: Any, **__: Any) -> Iterator[Any]:
        yield lambda report: signal.raise_signal(signal.SIGINT) if report.epoch == 1 else None

    monkeypatch.setattr("ss3d.cli.rerun.epoch_bar", bar)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background
    assert invoke("rerun", TRIAL).exit_code == 130
    signal.signal(signal.SIGINT, before)
    assert written(store) == []


@pytest.mark.parametrize(
    ("error", "message", "words"),
    [
        (ConfigError, "proves nothing", "--check --set semi.lr=0.01"),
        (ConfigError, "proves nothing", "--check --profile here"),
        (ConfigError, "drop --set", "--from-epoch 2 --set semi.lr=0.01"),
        (ConfigError, "drop --own-pretrain", "--from-epoch 2 --own-pretrain"),
        (ConfigError, "got 1, .* before epoch 4 of: 2, 3;", "--from-epoch 1"),
        (ConfigError, "got 3, .* before epoch 3 of: 2;", "--from-epoch 3 --epochs 3"),
        (ConfigError, "has these values", "--set semi.epochs=4"),
        (ConfigError, "did you mean semi.ema_decay", "--set semi.ema_decy=0.5"),
        (DataError, "there is no data set in", "--data nowhere"),
    ],
)
@pytest.mark.usefixtures("store")
def test_what_makes_no_sense_is_refused(error: type[Exception], message: str, words: str) -> None:
    with pytest.raises(error, match=message):
        invoke("rerun", TRIAL, *words.split())


def test_a_data_set_that_moved_is_asked_for(
    store: DirectoryStore, data_folder: Path, tmp_path: Path
) -> None:
    key = layout.study("demo", "study.json")
    blob = store.get(key)
    assert blob is not None
    spec = json.loads(blob.data)
    spec["data"]["address"] = str(tmp_path / "gone")
    store.put_if(key, canonical_json(spec).encode(), blob.version)
    with pytest.raises(DataError, match="say where to by --data"):
        invoke("rerun", TRIAL)
    assert rerun("--data", data_folder, "--epochs", 0)["verdict"] == "bitwise"
