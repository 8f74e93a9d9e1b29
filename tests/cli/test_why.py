"""What `ss3d why` says of a trial's decisions."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ss3d.cli.main import app
from ss3d.config import TrialConfig, canonical_json
from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.study.recorder import decision_key
from ss3d.study.rungs import Decision, Difference
from ss3d.trial.records import TrialSpec

HALVING = Decision(False, "asha/2", 2, 9.5, 9.5, 1, 3)
DIFFERENCE = Difference("t00001", 0.25, 0.125, 0.975, 0.001, 54)
PAIRED = Decision(True, "paired", 4, 9.25, 9.125, 3, 3, difference=DIFFERENCE)
USER = Decision(True, "user", 3, 9.0, 9.0, 1, 1)


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    store = DirectoryStore(tmp_path)
    store.put_new(layout.study("s", "study.json"), b"{}")
    spec = TrialSpec(
        study="s",
        trial="t00000",
        params={},
        distributions={},
        stratum={},
        config=TrialConfig(),
        pretrain_key="k",
        code_version="c",
        data_hash="d",
        versions={},
        attrs={},
        proposed_at=0.0,
    )
    store.put_new(layout.trial("s", "t00000", "spec.json"), spec.to_json())
    return store


def put(store: DirectoryStore, *decisions: Decision) -> None:
    for decision in decisions:
        data = canonical_json({"schema": 1, **asdict(decision)}).encode()
        store.put_new(decision_key("s", "t00000", decision.rung), data)


def ask(store: DirectoryStore, *options: str) -> str:
    shown = CliRunner().invoke(app, ["why", "s/t00000", "--store", store.address, *options])
    assert shown.exit_code == 0, shown.output
    return shown.stdout


def rows(text: str) -> list[list[str]]:
    """Return the cells of the lines of a table."""
    cells = ([cell.strip() for cell in line.split("│")] for line in text.splitlines())
    return [row[1:-1] for row in cells if len(row) > 2]


def test_without_decisions_it_says_so(store: DirectoryStore) -> None:
    assert ask(store).splitlines() == [
        "s/t00000: no decision; no rung has compared it with other trials",
        "s/t00000: running",
    ]


def test_the_paired_test_names_the_best_trial_and_the_difference(store: DirectoryStore) -> None:
    put(store, HALVING, PAIRED)
    text = ask(store)
    assert rows(text) == [
        ["2", "asha/2", "9.5000", "9.5000", "1", "3", "no"],
        ["4", "paired", "9.2500", "9.1250", "3", "3", "yes"],
    ]
    assert (
        "epoch 4: 0.25 worse than t00001 on 54 models (with 97.5 % confidence worse by 0.125 at "
        "least, p = 0.001)"
    ) in text.splitlines()
    found = json.loads(ask(store, "--json"))["decisions"]
    assert [d["difference"] for d in found] == [None, asdict(DIFFERENCE)]


def test_what_the_user_stopped_was_compared_with_nothing(store: DirectoryStore) -> None:
    put(store, USER)
    assert rows(ask(store)) == [["3", "user", "9.0000", "", "", "", "yes"]]


def test_a_decision_of_an_older_version_is_shown(store: DirectoryStore) -> None:
    old = {name: value for name, value in asdict(HALVING).items() if name != "difference"}
    data = canonical_json({"schema": 1, **old}).encode()
    store.put_new(decision_key("s", "t00000", 2), data)
    assert rows(ask(store)) == [["2", "asha/2", "9.5000", "9.5000", "1", "3", "no"]]
