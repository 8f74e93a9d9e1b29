"""A study whose environment is full of secrets writes none of them anywhere."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ss3d.cli.main import app

USER, PASSWORD = "canary-user", "canary-tracking-password"
SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIACANARYCANARYCANA",
    "AWS_SECRET_ACCESS_KEY": "canary-aws-secret-key",
    "AWS_SESSION_TOKEN": "canary-aws-session-token",
    "MLFLOW_TRACKING_PASSWORD": "canary-mlflow-password",
    "MLFLOW_TRACKING_TOKEN": "canary-mlflow-token",
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "canary-flask-secret",
    "PGPASSWORD": "canary-database-password",
    "SS3D_ANYTHING": "canary-ss3d-secret",
}
AWAY = f"http://{USER}:{PASSWORD}@127.0.0.1:9"
"""A tracking server that does not answer: what it is asked for ends in errors and logs."""
CANARIES = [
    secret.encode()
    for secret in (
        *SECRETS.values(),
        PASSWORD,
        base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode(),
    )
]


def found_in(paths: Iterable[Path]) -> set[str]:
    """Return which files hold a secret."""
    found: set[str] = set()
    for path in paths:
        try:
            data = path.read_bytes() if path.is_file() else b""  # not of a pipe or a socket
        except OSError:  # gone meanwhile
            continue
        found |= {f"{path}: {canary.decode()}" for canary in CANARIES if canary in data}
    return found


def files_below(*folders: Path) -> set[Path]:
    walked = (place for folder in folders for place in os.walk(folder))  # some vanish meanwhile
    return {Path(folder) / name for folder, _, names in walked for name in names}


@pytest.mark.cluster
@pytest.mark.slow
def test_no_secret_of_the_environment_is_written(
    tmp_path: Path,
    data_folder: Path,
    write_space: Callable[[str], Path],
    migrated_database: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home, space = tmp_path / "home", write_space('[sampler]\nname = "random"\n')
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    command = [sys.executable, "-m", "ss3d", "search", str(space), "--data", str(data_folder)]
    command += ["--trials", "1", "--slots", "1", "--home", str(home)]
    variables = {"SS3D_TRACKING": AWAY, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    others = files_below(*Path("/tmp").glob("ss3d-ray-*"))
    leaks, seen = set[str](), set[Path]()
    with (tmp_path / "said").open("wb") as said:
        streams = {"stdout": said, "stderr": subprocess.STDOUT}
        with subprocess.Popen(command, env={**os.environ, **variables}, **streams) as process:
            while process.poll() is None:  # Ray's folder is there as long as the search runs
                new = files_below(*Path("/tmp").glob("ss3d-ray-*")) - others
                seen |= new
                leaks |= found_in(new)
                time.sleep(1)
    told = (tmp_path / "said").read_text()
    assert process.returncode == 0, told
    assert "127.0.0.1:9" in told  # that server is away; its password is not told
    shutil.copyfile(migrated_database, home / "mlflow.db")
    synced = CliRunner().invoke(app, ["sync", "fast", "--home", str(home)], catch_exceptions=False)
    (tmp_path / "said-by-sync").write_text(synced.output)
    written = files_below(tmp_path)
    for room in ("store", "mlflow.db", "mlartifacts", "optuna.journal", "cache"):
        assert any(path.is_relative_to(home / room) for path in written)
    assert any(path.name == "runtime_env_agent.log" for path in seen)
    assert leaks | found_in(written) == set()


def test_the_search_for_secrets_finds_one(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "x.bin").write_bytes(b"\0" + CANARIES[-1] + b"\xff")
    assert len(found_in(files_below(tmp_path))) == 1
