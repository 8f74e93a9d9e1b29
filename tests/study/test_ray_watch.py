"""What happens when Ray's node process, a child of the driver's, or Ray's head dies."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
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
    board, left = make_board(), Left()
    watch = RayWatch(board, left, grace_s=0.1)
    watch.start()
    assert not left.event.wait(1.5)
    assert board.loss == ""
    node.kill()
    assert left.event.wait(10)
    assert board.loss == left.reason == "Ray's node process on this machine died"
    watch.close()


def test_a_driver_that_leaves_by_itself_is_left_alone(node: subprocess.Popen[bytes]) -> None:
    board, left = make_board(), Left()
    watch = RayWatch(board, left, grace_s=60)
    watch.start()
    node.kill()
    while not board.loss:
        time.sleep(0.05)
    watch.close()
    assert not left.event.is_set()


def test_a_head_may_be_away_for_a_moment_and_not_for_good() -> None:
    board, left = make_board(), Left()
    with listening() as head:
        watch = RayWatch(board, left, silent_s=2, grace_s=0.1)
        watch.head = head
        watch.start()
        time.sleep(1.2)
    time.sleep(1)
    with listening(head[1]):
        assert not left.event.wait(1.5)
        assert board.loss == ""
    assert left.event.wait(15)
    assert board.loss == left.reason == f"Ray's head at 127.0.0.1:{head[1]} does not answer"
    watch.close()


def test_a_head_that_cannot_be_asked_is_not_watched() -> None:
    board, left = make_board(), Left()
    with listening() as head:
        pass
    watch = RayWatch(board, left, silent_s=0, grace_s=0)
    watch.head = head
    watch.start()
    assert not left.event.wait(1.5)
    watch.close()
    assert board.loss == ""


class Left:
    """Takes note that the process would end."""

    def __init__(self) -> None:
        self.event, self.reason = threading.Event(), ""

    def __call__(self, reason: str) -> None:
        self.reason = reason
        self.event.set()


@contextmanager
def listening(port: int = 0) -> Iterator[tuple[str, int]]:
    """Listen as a head does, and lose whoever has connected at the end."""
    with socket.create_server(("127.0.0.1", port)) as server:
        yield server.getsockname()
