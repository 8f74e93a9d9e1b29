"""`ss3d rerun` on a trial that workers made: proofs, what-ifs and profiles."""

import json
import shutil
from pathlib import Path

import pytest

from cli.rerun_study import EPOCHS, TRIAL, make_study, rerun, ss3d
from ss3d.config import TrialConfig
from ss3d.data.dataset import open_dataset
from ss3d.errors import ConfigError, DataError
from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.tracking.run_index import list_runs
from ss3d.settings import Settings


@pytest.fixture(scope="module")
def original(
    tmp_path_factory: pytest.TempPathFactory, data_folder: Path, quick_config: TrialConfig
) -> Path:
    """A home with a study; tests read it and write to copies."""
    home = tmp_path_factory.mktemp("original")
    make_study(str(home / "store"), str(data_folder), home, quick_config)
    return home


@pytest.fixture
def home(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the home, which commands take by themselves."""
    home = tmp_path / "home"
    shutil.copytree(original, home)
    monkeypatch.setenv("SS3D_HOME", str(home))
    return home


def kept(home: Path, prefix: str) -> list[str]:
    return list(DirectoryStore(home / "store").list(prefix))


def test_a_rerun_with_the_bucket_alone_is_bitwise(
    s3_address: str,
    data_folder: Path,
    quick_config: TrialConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = f"{s3_address}/data"
    for path in sorted(path for path in data_folder.rglob("*") if path.is_file()):
        from ss3d.store.opening import open_store

        open_store(data).put_file(path.relative_to(data_folder).as_posix(), path)
    make_study(s3_address, data, tmp_path / "there", quick_config)
    monkeypatch.setenv("SS3D_HOME", str(tmp_path / "here"))
    monkeypatch.setenv("SS3D_STORE", s3_address)
    first = rerun("--check", "--own-pretrain")
    assert (first["verdict"], first["epochs"], first["pretrain_epochs"]) == ("bitwise", 5, 2)
    assert first["expects_bitwise"]
    assert first["changes"] == []
    sizes = open_store(data).sizes("shards/")
    assert first["estimate"]["bytes"] == {"data": sum(sizes.values())}
    second = rerun("--check")
    assert (second["verdict"], second["epochs"], second["pretrain_epochs"]) == ("bitwise", 5, 0)
    assert list(second["estimate"]["bytes"]) == ["pretrained state"]


def test_redone(home: Path) -> None:
    print(ss3d("rerun", TRIAL))
    print(ss3d("rerun", TRIAL, "--from-epoch", 2))
    print(ss3d("rerun", TRIAL, "--set", "semi.lr=1e-3"))
    print(ss3d("rerun", TRIAL, "--profile", home / "prof"))
    print(ss3d("show", TRIAL))
    print(ss3d("sync", "demo"))
    assert 0
