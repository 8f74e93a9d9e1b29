"""Deleting a study: whole or not at all for its readers, at every point where it may be killed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from removal_records import (
    CONTROL,
    FIRST,
    SECOND,
    DyingStore,
    put_json,
    put_shared,
    put_study,
    read_states,
)
from typer.testing import CliRunner

from ss3d.cli.main import app
from ss3d.errors import ConfigError, RefusedError, ServiceError
from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.store.lease import take_lease
from ss3d.store.protocol import Store
from ss3d.study.reconcile import reconcile
from ss3d.study.removal import delete_study, deletion_order, measure_study
from ss3d.trial.history import list_studies, load_study_record
from ss3d.trial.objectives import objectives_of


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    """A study of three trials beside another one, with which it shares."""
    store = DirectoryStore(tmp_path / "store")
    put_study(store, "one")
    put_study(store, "other", (FIRST, SECOND))
    put_shared(store, FIRST)
    put_shared(store, SECOND)
    put_shared(store, CONTROL, "control")
    return store


def of(store: Store, study: str) -> set[str]:
    return set(store.list(layout.study(study) + "/"))


def test_a_study_goes_and_all_else_stays(store: Store, tmp_path: Path) -> None:
    others = set(store.list("")) - of(store, "one")
    remains = delete_study(store, "one")
    assert set(store.list("")) == others
    assert (remains.num_trials, remains.num_bytes > 5000) == (3, True)
    assert list_studies(store) == ["other"]
    assert read_states(store, "other", tmp_path / "read") == 5
    put_study(store, "one")  # the name is free again
    assert len(load_study_record(store, "one").trials) == 3


def test_a_kill_at_any_deletion_leaves_a_readable_study_that_can_be_finished(
    store: DirectoryStore, tmp_path: Path
) -> None:
    num_deletions = len(of(store, "one")) + 1  # and the lease
    others = set(store.list("")) - of(store, "one")
    seen = set()
    for cut in range(num_deletions):
        copy = tmp_path / f"cut{cut}"
        shutil.copytree(tmp_path / "store", copy)
        with pytest.raises(ServiceError, match="killed"):
            delete_study(DyingStore(copy, cut), "one")
        left = DirectoryStore(copy)
        seen.add(_check_readable(left, tmp_path / f"read{cut}"))
        delete_study(left, "one")
        assert set(left.list("")) == others
    assert seen == {3, 2, 1, 0, None}


def _check_readable(store: Store, folder: Path) -> int | None:
    """Read what is left of the study as `trials`, `promote` and `--resume` do; count its trials."""
    if "one" not in list_studies(store):
        assert of(store, "one") == {layout.study("one", "driver.lease")}
        return None
    read_states(store, "one", folder)
    trials = reconcile(store, "one", objectives_of({})).trials
    assert [t.spec.trial for t in trials] == [layout.trial_id(n) for n in range(len(trials))]
    begun = {key.split("/")[3] for key in of(store, "one") if "/trials/" in key}
    assert begun == {t.spec.trial for t in trials}  # a resume never meets what it did not seal
    read_states(store, "one", folder)  # also what a resume has committed
    return len(trials)


def test_the_order() -> None:
    keys = [
        "studies/a/budget/0002.json",
        "studies/a/decisions/t00002-e000001.json",
        "studies/a/driver.lease",
        "studies/a/study.json",
        "studies/a/trials/t00002/best/manifest.json",
        "studies/a/trials/t00002/best/student.safetensors",
        "studies/a/trials/t00002/epochs/a1-000002.json",
        "studies/a/trials/t00002/result.json",
        "studies/a/trials/t00002/spec.json",
        "studies/a/trials/t100000/spec.json",
    ]
    names = [key.removeprefix("studies/a/") for key in deletion_order("a", keys)]
    assert names == [
        "trials/t100000/spec.json",
        "trials/t00002/result.json",
        "trials/t00002/epochs/a1-000002.json",
        "trials/t00002/best/manifest.json",
        "decisions/t00002-e000001.json",
        "trials/t00002/best/student.safetensors",
        "trials/t00002/spec.json",
        "budget/0002.json",
        "study.json",
    ]


def test_a_study_that_runs_is_refused(store: Store) -> None:
    with take_lease(store, layout.study("one", "driver.lease"), "study one"):
        before = set(store.list(""))
        for action in (measure_study, delete_study):
            with pytest.raises(RefusedError, match="study one: a driver runs it"):
                action(store, "one")
        assert set(store.list("")) == before
    delete_study(store, "one")


def test_a_promoted_study_is_refused(store: Store) -> None:
    entry = {"model": "chairs", "version": 2, "study": "one", "trial": "t00001"}
    put_json(store, layout.ledger("chairs", "000001-promote.json"), entry)
    before = set(store.list(""))
    with pytest.raises(RefusedError, match="its trial t00001 is version 2 of model chairs"):
        delete_study(store, "one")
    assert set(store.list("")) == before
    delete_study(store, "other")


def test_an_unknown_study_is_named(store: Store) -> None:
    with pytest.raises(ConfigError, match=r"study 'none': not in the store .* there are: one"):
        delete_study(store, "none")


def test_the_command_asks_for_yes(store: Store) -> None:
    words = ["delete", "one", "--store", store.address]
    before = set(store.list(""))
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert "would delete study one: 3 trials" in result.output
    assert set(store.list("")) == before
    result = CliRunner().invoke(app, [*words, "--yes", "--json"], catch_exceptions=False)
    assert json.loads(result.stdout)["num_trials"] == 3
    assert of(store, "one") == set()
