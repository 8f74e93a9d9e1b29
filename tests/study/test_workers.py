"""Which worker gets which job, on Ray."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ss3d.settings import Settings
from ss3d.study.definition import Request
from ss3d.study.driver import Watcher, search
from ss3d.study.environment import prepare_environment
from ss3d.study.job import Progress

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

LONGEST_S = 60.0


def test_a_free_worker_takes_a_new_trial_and_leaves_another_the_worker_that_starts_for_it(
    tmp_path: Path, data_folder: Path, write_space: Callable[[str], Path]
) -> None:
    prepare_environment(tmp_path)
    from ss3d.bench.overhead import NoJob  # imports Ray

    started, begun = tmp_path / "started", tmp_path / "begun"
    started.mkdir()
    begun.mkdir()

    class OneIsQuick(NoJob):
        """The first trial is over before a second worker has started; the others wait for it."""

        def setup(self, config: dict[str, Any]) -> None:
            (started / f"{os.getpid()}").touch()
            super().setup(config)

        def begin(self, config: dict[str, Any]) -> Iterator[Progress]:
            (begun / config["job"]["trial"]).write_text(f"{os.getpid()}")
            deadline = time.monotonic() + LONGEST_S
            while (
                config["job"]["trial"] != "t00000"
                and len(list(started.iterdir())) == 1
                and time.monotonic() < deadline
            ):
                time.sleep(0.05)
            yield from super().begin(config)

    space = write_space('[pruner]\nname = "none"\n')
    request = Request(space=space, data=str(data_folder), trials=4, slots=2)
    search(request, Settings(home=tmp_path / "home"), None, Watcher(), OneIsQuick)
    workers = {path.name: path.read_text() for path in begun.iterdir()}
    assert workers["t00000"] == workers["t00002"] != workers["t00001"]
    assert {path.name for path in started.iterdir()} == set(workers.values())
