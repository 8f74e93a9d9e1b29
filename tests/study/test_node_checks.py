"""What is said of a node's answer, and where a node keeps its cache."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from ss3d.cli.main import run
from ss3d.study.environment import prepare_environment
from ss3d.study.job import Place
from ss3d.study.worker import Worker

NOW = 1000.0


@pytest.fixture
def nodes(tmp_path: Path) -> ModuleType:
    prepare_environment(tmp_path)  # before Ray is imported
    from ss3d.study import nodes

    return nodes


def test_a_node_like_this_machine_is_fit(nodes: ModuleType) -> None:
    found = {"store": (True, "2 ms"), "data": (True, "aa"), "cache": (True, "90 GiB free")}
    seen = {"versions": nodes.versions_here(), "time": NOW, "found": found}
    assert [(f.probe, f.outcome) for f in nodes.judge(seen, NOW, "aa")] == [
        (probe, "ok") for probe in ("versions", "clock", "store", "data", "cache")
    ]


def test_another_version_another_clock_other_data_and_no_store_are_told(nodes: ModuleType) -> None:
    here = nodes.versions_here()
    away = {"store": (False, "403"), "data": (True, "bb"), "cache": None}
    seen = {"versions": here | {"torch": "1.0"}, "time": NOW - 31, "found": away}
    told = {f.probe: f.detail for f in nodes.judge(seen, NOW, "aa") if f.outcome == "failed"}
    assert set(told) == {"versions", "clock", "store", "data"}
    assert told["versions"] == f"torch 1.0, here {here['torch']}"
    assert told["clock"].startswith("-31.0 s")
    assert told["store"] == "403"
    assert told["data"] == "got data bb…, here aa…"


def test_a_cluster_must_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SS3D_RAY_ADDRESS", raising=False)
    monkeypatch.setattr(sys, "argv", ["ss3d", "cluster", "check", "--home", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        run()
    assert ended.value.code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_node_with_a_cache_of_its_own_keeps_nothing_where_the_driver_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place("s", str(tmp_path / "store"), "", str(tmp_path / "drivers"), gpus=0)
    monkeypatch.setenv("SS3D_CACHE", str(tmp_path / "own"))
    worker = Worker(place)
    assert worker.spool.root.is_relative_to(tmp_path / "own")
    assert not (tmp_path / "drivers").exists()
    monkeypatch.delenv("SS3D_CACHE")
    assert Worker(place).spool.root.is_relative_to(tmp_path / "drivers")
