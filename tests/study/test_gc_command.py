"""`ss3d gc` as a user runs it, and what other commands say of what it swept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from removal_records import CONTROL, FIRST, UNUSED, put_json, put_shared, put_trial
from typer.testing import CliRunner

from ss3d.cli.main import app
from ss3d.errors import CheckpointError
from ss3d.settings import Settings
from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.study.examination import bundles, check_files, read_study
from ss3d.tracking.resolution import resolve_model
from ss3d.tracking.run_files import gather_files
from ss3d.trial.history import load_trial_record


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    """A study of a pruned and two complete trials, and what they share."""
    store = DirectoryStore(tmp_path / "store")
    put_json(store, layout.study("one", "study.json"), {"schema": 1, "budget": {"trials": 3}})
    for number, state in enumerate(("pruned", "complete", "complete")):
        put_trial(store, "one", number, FIRST, state)
    for key, kind in ((FIRST, "pretrain"), (UNUSED, "pretrain"), (CONTROL, "control")):
        put_shared(store, key, kind)
    return store


def ss3d(store: DirectoryStore, *words: str) -> str:
    result = CliRunner().invoke(app, [*words, "--store", store.address], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_it_says_what_would_go_then_removes_just_that(store: DirectoryStore) -> None:
    before = list(store.list(""))
    words = ("gc", "--keep-best", "1")
    assert "would remove" in ss3d(store, *words)
    planned = json.loads(ss3d(store, *words, "--json"))
    assert list(store.list("")) == before
    done = json.loads(ss3d(store, *words, "--json", "--yes"))
    assert (planned["deleted"], done["deleted"]) == (False, True)
    assert planned["items"] == done["items"]
    assert {kind: one["count"] for kind, one in done["kinds"].items()} == {
        "checkpoints": 2,
        "weights": 1,
        "pretrain": 1,
        "unread": 2,
    }
    assert done["bytes"] == sum(item["num_bytes"] for item in done["items"]) > 6000
    assert "removed 0 B" in ss3d(store, *words, "--yes")


def test_doctor_and_sync_agree_with_what_was_swept(store: DirectoryStore, tmp_path: Path) -> None:
    ss3d(store, "gc", "--keep-best", "1", "--yes")
    examined = read_study(store, "one")
    for is_deep in (False, True):
        check = check_files(store, examined, bundles(store, examined), is_deep)
        assert check.differences == ()
    gather_files(store, load_trial_record(store, "one", "t00002"), {}, tmp_path)
    assert [path.name for path in (tmp_path / "best").iterdir()] == ["metrics.json"]


def test_a_network_that_was_swept_is_named_with_what_to_do(
    store: DirectoryStore, tmp_path: Path
) -> None:
    ss3d(store, "gc", "--keep-best", "1", "--yes")
    settings = Settings(home=tmp_path / "home", store=store.address)
    assert (resolve_model(settings, "one/t00001") / "student.safetensors").exists()
    with pytest.raises(CheckpointError, match=r"student\.safetensors: removed by `ss3d gc`"):
        resolve_model(settings, "one/t00002")
