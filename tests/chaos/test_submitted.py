"""Searches that are sent to a cluster by Ray's Jobs API, on a real head with a node."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chaos_study import SPACE
from servers.local_stack import LocalStack

from ss3d.data.items import Shape
from ss3d.data.procedural import prepare_procedural
from ss3d.store import layout
from ss3d.store.opening import open_store
from ss3d.trial.log import read_lines

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(os.environ.get("SS3D_CHAOS") != "all", reason="part of `make chaos`"),
]
ROOT = Path(__file__).parents[2]
DATA = "s3://ss3d/submitted"
CANARY = "canary-of-who-submits"
SECRETS = ("AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD")


@pytest.fixture(scope="module")
def cluster(local_stack: LocalStack) -> Iterator[LocalStack]:
    """The stack with a head and one node."""
    with local_stack.with_nodes(1) as cluster:
        yield cluster


@pytest.fixture
def url(cluster: LocalStack) -> str:
    return cluster.environment["RAY_API_SERVER_ADDRESS"]


@pytest.fixture
def start(cluster: LocalStack, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start a command of a user who sourced the stack's `env`, with code of another version."""
    code = tmp_path / "code"
    shutil.copytree(ROOT / "ss3d", code / "ss3d", ignore=shutil.ignore_patterns("__pycache__"))
    with (code / "ss3d" / "__init__.py").open("a") as file:
        file.write('\n__version__ = "0.1.0+shipped"\n')
    own = {"PYTHONPATH": str(code), "SS3D_HOME": str(tmp_path / "home"), "SECRET": CANARY}

    def started(*words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "ss3d", *words],
            env={**os.environ, **cluster.environment, **own},
            cwd=tmp_path,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    return started


@pytest.fixture
def words(url: str, stack_access: LocalStack, tmp_path: Path) -> list[str]:
    """The command that sends a study, but for its name."""
    store = open_store(DATA)
    if store.get("manifest.json") is None:
        shape = Shape(num_views=2, image_size=64, num_points=512)
        prepare_procedural(store, "quick", 32, 0, shape, None)
    space = tmp_path / "chaos.toml"
    space.write_text(SPACE)
    return ["search", str(space), "--data", DATA, "--submit", url]


def test_the_code_that_is_sent_runs_and_its_exit_code_comes_back(
    cluster: LocalStack, start: Callable[..., subprocess.Popen[str]], words: list[str]
) -> None:
    whole = start(*words, "--trials", "1", "--name", "whole", "--json")
    said, complained = whole.communicate(timeout=300)
    assert whole.returncode == 0, complained
    assert "t00000 complete" in complained
    outcome = json.loads(said)
    assert (outcome["study"], outcome["status"], outcome["exit_code"]) == ("whole", "SUCCEEDED", 0)
    log = layout.trial("whole", "t00000", "log", layout.attempt_log(1))
    (begun, *_) = read_lines(open_store(cluster.environment["SS3D_STORE"]), log)
    assert begun["versions"]["ss3d"] == "0.1.0+shipped"
    again = start(*words, "--name", "whole")
    _, complained = again.communicate(timeout=100)
    assert again.returncode == 5, complained
    assert "the name is taken" in complained
    assert files_with_secrets(cluster) == []


def files_with_secrets(cluster: LocalStack) -> list[Path]:
    """Return which of Ray's files on the head hold a secret: code, commands, logs."""
    files = [path for path in (cluster.place.of("ray") / "t").rglob("*") if path.is_file()]
    assert any("runtime_resources" in path.parts for path in files)
    secrets = [CANARY, *(cluster.environment[name] for name in SECRETS)]
    return [path for path in files if any(s.encode() in path.read_bytes() for s in secrets)]


def test_a_study_is_left_found_again_and_stopped(
    start: Callable[..., subprocess.Popen[str]], words: list[str], url: str
) -> None:
    left = start(*words, "--trials", "500", "--name", "left")
    assert left.stderr is not None
    assert any("t00000 running" in line for line in left.stderr)
    left.send_signal(signal.SIGINT)
    _, complained = left.communicate(timeout=60)
    assert left.returncode == 130
    for told in ("study left goes on", "ss3d logs left --follow", f"--resume --submit {url}"):
        assert told in complained
    twice = start(*words, "--name", "left")
    assert "--resume follows it" in twice.communicate(timeout=60)[1]
    assert twice.returncode == 5
    found = start("search", "--name", "left", "--resume", "--submit", url)
    assert found.stderr is not None
    assert any("t00000 running" in line for line in found.stderr)  # what was told before, too
    stopping = start("stop", "left")
    _, complained = stopping.communicate(timeout=100)
    assert stopping.returncode == 0, complained
    found.communicate(timeout=100)
    assert found.returncode == 130


@pytest.mark.parametrize("token", ["", "wrong"])
def test_the_job_server_answers_nobody_without_the_token(url: str, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with pytest.raises(urllib.error.HTTPError, match=r"HTTP Error 40[13]"):
        urllib.request.urlopen(urllib.request.Request(f"{url}/api/jobs/", headers=headers))
