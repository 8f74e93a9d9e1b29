"""Settings: flags over environment over ss3d.toml over defaults."""

import pytest

from ss3d.errors import ConfigError
from ss3d.settings import load_settings


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("SS3D_HOME", "SS3D_STORE", "SS3D_TRACKING", "SS3D_CACHE", "SS3D_SPOOL_GIB"):
        monkeypatch.delenv(name, raising=False)


def test_defaults_lie_under_the_home(tmp_path):
    settings = load_settings()
    assert settings.store_address == str(tmp_path / "ss3d-data" / "store")
    assert settings.tracking_uri == f"sqlite:///{tmp_path / 'ss3d-data' / 'mlflow.db'}"
    assert settings.cache_dir == tmp_path / "ss3d-data" / "cache"


def test_the_nearer_source_wins(tmp_path, monkeypatch):
    (tmp_path / "ss3d.toml").write_text('store = "from-file"\nhome = "file-home"\n')
    assert load_settings().store_address == "from-file"
    monkeypatch.setenv("SS3D_STORE", "from-environment")
    assert load_settings().store_address == "from-environment"
    assert load_settings(store="from-flag").store_address == "from-flag"
    assert load_settings().home.name == "file-home"


@pytest.mark.parametrize("text", ["stor = 'x'", "not toml ["])
def test_a_bad_file_is_named(tmp_path, text):
    (tmp_path / "ss3d.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"ss3d\.toml|stor"):
        load_settings()


def test_a_spool_without_room_is_refused(monkeypatch):
    assert load_settings().spool_bytes == 20 * 2**30
    monkeypatch.setenv("SS3D_SPOOL_GIB", "0.5")
    assert load_settings().spool_bytes == 2**29
    for text in ("0", "-1", "nan", "inf", "much"):
        monkeypatch.setenv("SS3D_SPOOL_GIB", text)
        with pytest.raises(ConfigError, match=f"settings: spool_gib: got '{text}': input should"):
            load_settings()
