"""Ctrl-C of a driver whose trials all wait."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from chaos_study import NAME, SPACE, ChaosStudy

from ss3d.store import layout
from ss3d.store.lease import is_held

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


def test_ctrl_c_is_heard_while_all_trials_wait_for_a_pretraining(
    tmp_path: Path, data_folder: Path, migrated_database: Path
) -> None:
    endless = SPACE.replace("pretrain.steps = 4", "pretrain.steps = 1_000_000")
    chaos = ChaosStudy(tmp_path, data_folder, migrated_database, space=endless)
    try:
        driver = chaos.start()
        chaos.wait_for(
            lambda: any("/attempts/" in key for key in chaos.store.list("pretrains/")), driver
        )
        chaos.signal(signal.SIGINT, driver)
        told = time.monotonic()
        chaos.ends_with(driver, 130)
        assert time.monotonic() - told < 20
        assert [trial.state for trial in chaos.record().trials] == ["running", "running"]
        assert not is_held(chaos.store, layout.study(NAME, "driver.lease"))
    finally:
        chaos.close()
