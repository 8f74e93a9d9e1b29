"""What happens when Ray's node process, a child of the driver's, dies."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_board import make_board

from ss3d.study.ray_watch import RayWatch


@pytest.fixture
def node(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A child process with the name of Ray's."""
    sleep = shutil.which("sleep")
    assert sleep
    shutil.copy(sleep, tmp_path / "raylet")
    with subprocess.Popen([str(tmp_path / "raylet"), "60"]) as process:
        yield process
        process.kill()


def test_a_driver_whose_node_died_loses_its_jobs_and_leaves(
    node: subprocess.Popen[bytes],
) -> None:
    board, left = make_board(), threading.Event()
    watch = RayWatch(board, left.set, grace_s=0.1)
    watch.start()
    assert not left.wait(1.5)
    assert board.loss == ""
    node.kill()
    assert left.wait(10)
    assert board.loss == "Ray's node process on this machine died"
    watch.close()


def test_a_driver_that_leaves_by_itself_is_left_alone(node: subprocess.Popen[bytes]) -> None:
    board, left = make_board(), threading.Event()
    watch = RayWatch(board, left.set, grace_s=60)
    watch.start()
    node.kill()
    while not board.loss:
        time.sleep(0.05)
    watch.close()
    assert not left.is_set()
