"""Searches on Ray whose workers do not live as long as their jobs."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ss3d.settings import Settings
from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.study.definition import Request
from ss3d.study.driver import Watcher, search
from ss3d.study.environment import prepare_environment
from ss3d.study.job import Progress, from_config
from ss3d.trial.history import load_study_record

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

TABLES = """
[pruner]
name = "none"
"""


def test_a_trial_that_kills_its_workers_fails_and_the_study_goes_on(
    tmp_path: Path, data_folder: Path, write_space: Callable[[str], Path]
) -> None:
    prepare_environment(tmp_path)
    from ss3d.study.trainable import JobTrainable  # imports Ray

    class Deadly(JobTrainable):
        """Its worker is killed where the trial begins, as the kernel does when memory is short."""

        def begin(self, config: dict[str, Any]) -> Iterator[Progress]:
            job, _ = from_config(config)
            for progress in super().begin(config):
                if (job.kind, job.trial, progress.is_done) == ("trial", "t00001", False):
                    os.kill(os.getpid(), signal.SIGKILL)
                yield progress

    settings = Settings(home=tmp_path / "home")
    request = Request(space=write_space(TABLES), data=str(data_folder), trials=3, slots=1)
    search(request, settings, None, Watcher(), Deadly)
    store = DirectoryStore(Path(settings.store_address))
    results = [trial.result for trial in load_study_record(store, "fast").trials]
    assert [r and (r.state, r.is_too_large) for r in results] == [
        ("complete", False),
        ("failed", True),
        ("complete", False),
    ]
    assert results[1] is not None
    assert results[1].reason.startswith("its workers were killed 3 times without an epoch between")
    attempts = layout.trial("fast", "t00001", "attempts")
    assert len(list(store.list(f"{attempts}/"))) == 4
