"""What tests start ends with them, however they end."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from servers.afterwards import afterwards

KILLED = """
import os, signal
from servers.afterwards import afterwards
with afterwards("touch", "{done}"):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_command_runs_though_who_asked_for_it_was_killed(tmp_path: Path) -> None:
    done, tests = tmp_path / "done", Path(__file__).parents[1]
    died = subprocess.run([sys.executable, "-c", KILLED.format(done=done)], cwd=tests)
    assert died.returncode < 0
    deadline = time.monotonic() + 10
    while not done.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_command_runs_when_the_block_is_left_and_its_failure_is_told(tmp_path: Path) -> None:
    with afterwards("touch", tmp_path / "done"):
        time.sleep(0.01)
        assert not (tmp_path / "done").exists()
    assert (tmp_path / "done").exists()
    with pytest.raises(AssertionError, match="false"), afterwards("false"):
        pass
