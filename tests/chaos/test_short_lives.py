"""Searches on Ray whose workers do not live as long as their jobs."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_space import EMA, base_table

from ss3d.settings import Settings
from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.study.definition import Request
from ss3d.study.driver import Watcher, search
from ss3d.study.environment import prepare_environment
from ss3d.study.job import Progress, from_config
from ss3d.trial.history import load_study_record

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(os.environ.get("SS3D_CHAOS") != "all", reason="part of `make chaos`"),
]

SPACE = f"""
[study]
name = "fast"
{base_table((2, 2), (4, 4))}
[pruner]
name = "none"
{EMA}
"""


def test_a_trial_whose_workers_are_killed_fails_and_one_whose_must_leave_goes_on(
    tmp_path: Path, data_folder: Path
) -> None:
    space = tmp_path / "fast.toml"
    space.write_text(SPACE)
    prepare_environment(tmp_path)
    from ss3d.study.trainable import JobTrainable  # imports Ray

    class ShortLived(JobTrainable):
        """Gets SIGKILL where one trial begins; SIGTERM, three times, where another goes on."""

        def begin(self, config: dict[str, Any]) -> Iterator[Progress]:
            job, _ = from_config(config)
            for progress in super().begin(config):
                if job.name == "t00001" and not progress.is_done:
                    os.kill(os.getpid(), signal.SIGKILL)
                if job.name == "t00002" and progress.attempt <= 3:
                    os.kill(os.getpid(), signal.SIGTERM)
                yield progress

    settings = Settings(home=tmp_path / "home")
    request = Request(space=space, data=str(data_folder), trials=3, slots=1)
    search(request, settings, None, Watcher(), ShortLived)
    store = DirectoryStore(Path(settings.store_address))
    results = [trial.result for trial in load_study_record(store, "fast").trials]
    assert [r and (r.state, r.is_too_large) for r in results] == [
        ("complete", False),
        ("failed", True),
        ("complete", False),
    ]
    assert results[1] is not None
    assert results[1].reason.startswith("its workers were killed 3 times without an epoch between")
    trials = [layout.trial("fast", f"t{number:05d}", "attempts") for number in range(3)]
    assert [len(list(store.list(f"{attempts}/"))) for attempts in trials] == [1, 4, 4]
    assert results[2] is not None
    assert [report.epoch for report in results[2].reports] == [0, 1, 2, 3, 4]
