"""How far MLflow is behind: all that was given and is not written, by the age of the oldest."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tracking_records import STUDY_SPEC, make_trial

from ss3d.settings import Settings
from ss3d.store.directory import DirectoryStore
from ss3d.tracking.projector import Lag, Projector
from ss3d.trial.records import TrialRecord


def test_what_mlflow_cannot_take_waits_and_grows_old(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    settings = Settings(home=tmp_path, tracking=f"sqlite:///{blocked}/mlflow.db")
    projector = Projector(settings, DirectoryStore(tmp_path / "store"))
    assert projector.lag == Lag(0, 0.0)
    begin = time.monotonic()
    projector.study(STUDY_SPEC)
    for epochs in (1, 2):  # the newer record of a trial replaces the older, not its age
        projector.trial(make_trial(0, epochs=epochs))
        time.sleep(0.05)
    lag = projector.lag
    assert lag.num_records == 2
    assert 0.1 <= lag.seconds <= time.monotonic() - begin
    projector.close(0.0)


def test_what_is_written_lags_no_more(
    settings: Settings, store: DirectoryStore, put_trial: Callable[[TrialRecord], None]
) -> None:
    put_trial(make_trial(0, "complete"))
    with Projector(settings, store) as projector:
        projector.study(STUDY_SPEC)
        projector.trial(make_trial(0))
        assert projector.close() == []
        assert projector.lag == Lag(0, 0.0)
