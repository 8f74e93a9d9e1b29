"""Understanding and cleaning up: exit codes, and help with an example."""

from __future__ import annotations

import sys

import pytest
from typer.testing import CliRunner

from ss3d.cli.main import app, run
from ss3d.config import canonical_json
from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.store.lease import take_lease

OTHER = {"data": {"content_hash": "e" * 64}}


@pytest.fixture
def store(tmp_path, monkeypatch) -> DirectoryStore:
    """Three studies without trials: one promoted, one with other data, one damaged."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SS3D_HOME", str(tmp_path))
    monkeypatch.delenv("SS3D_STORE", raising=False)
    store = DirectoryStore(tmp_path / "store")
    for name, tree in {"kept": {}, "other": OTHER}.items():
        store.put_new(layout.study(name, "study.json"), canonical_json(tree).encode())
    store.put_new(layout.study("broken", "study.json"), b"[]")
    entry = {"model": "chairs", "version": 1, "study": "kept", "trial": "t00001"}
    store.put_new(layout.ledger("chairs", "000001-promote.json"), canonical_json(entry).encode())
    return store


@pytest.mark.parametrize(
    ("code", "message", "line"),
    [
        (0, "0 trials", "cost kept"),
        (2, "study 'none': not in the store", "cost none"),
        (2, "study name: got 'No!'", "cost No!"),
        (3, "study.json of broken is damaged", "cost broken"),
        (2, "0 complete or pruned trials", "importance kept"),
        (5, "studies have different data", "compare kept other"),
        (5, "study kept has no complete trial there", "compare kept kept"),
        (2, "semi.lr is no parameter", "compare kept kept --where semi.lr=1"),
        (2, "expected PATH=VALUE", "compare kept kept --where nonsense"),
        (5, "study kept has no finished trial", "simulate kept"),
        (2, "study 'none': not in the store", "simulate none"),
        (0, "would remove 0", "pretrains gc"),
        (2, "no key starts with it", "pretrains show abc"),
        (2, "study 'none': not in the store", "delete none --yes"),
        (5, "a promoted study stays", "delete kept --yes"),
        (0, "deleted study broken", "delete broken --yes"),
    ],
)
def test_exit_codes(store, code, message, line, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ss3d", *line.split()])
    with pytest.raises(SystemExit) as ended:
        run()
    out, err = capsys.readouterr()
    assert int(ended.value.code or 0) == code, err
    assert message in " ".join((out + err).split())
    assert "Traceback" not in err


def test_a_held_lease_and_a_damaged_spec_have_their_codes(store, monkeypatch, capsys):
    with take_lease(store, layout.study("other", "driver.lease"), "study other"):
        monkeypatch.setattr(sys, "argv", ["ss3d", "delete", "other", "--yes"])
        with pytest.raises(SystemExit) as ended:
            run()
    assert ended.value.code == 5
    store.put_new(layout.trial("other", "t00000", "spec.json"), b"{")
    monkeypatch.setattr(sys, "argv", ["ss3d", "pretrains", "gc", "--yes"])
    with pytest.raises(SystemExit) as ended:
        run()
    assert ended.value.code == 3
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", ["cost", "compare", "importance", "simulate", "trials", "delete", "pretrains gc"]
)
def test_help_has_an_example(command):
    result = CliRunner().invoke(app, [*command.split(), "--help"])
    assert result.exit_code == 0
    assert f"ss3d {command} " in result.output.partition("Examples:")[2]
