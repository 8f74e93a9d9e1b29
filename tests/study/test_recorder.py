"""The recorder: results wait for no copy, and all copies are there when it is closed."""

from __future__ import annotations

import threading
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from test_board import make_board, progress, seal

from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.study.board import Board
from ss3d.study.journal import Journal
from ss3d.study.recorder import Recorder
from ss3d.trial.records import TrialResult


class SlowJournal(Journal):
    """Copies nothing before it is let."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "x", ["minimize"])
        self.agree([])
        self.may_go = threading.Event()

    def start(self, number: int, trial: FrozenTrial) -> None:
        self.may_go.wait(10)
        super().start(number, trial)


def run_trial(board: Board, number: int, value: float) -> None:
    board.add(seal(board, number), {"k"})
    board.take(f"tune{number}")
    board.end(f"tune{number}", progress(9.0, value, is_done=True))


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_results_wait_for_no_copy_and_closing_waits_for_all(tmp_path: Path) -> None:
    board, store = make_board(), DirectoryStore(tmp_path / "store")
    journal = SlowJournal(tmp_path / "journal")
    recorder = Recorder(board, store, journal, None)
    recorder.start()
    for number in range(2):
        run_trial(board, number, value=5.0 - number)
    with board.changed:
        done = board.changed.wait_for(
            lambda: all(entry.is_committed for entry in board.trials.values()), timeout=10
        )
    assert done
    journal.may_go.set()
    recorder.close(hurry=lambda: False, patience_s=1.0)
    for number in range(2):
        blob = store.get(layout.trial("x", layout.trial_id(number), "result.json"))
        assert blob is not None
        assert TrialResult.from_json(blob.data).values == {"val/cd_l1": 5.0 - number}
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "journal")))
    told = optuna.load_study(study_name="x", storage=storage).trials
    assert [(t.state, t.value) for t in told] == [
        (TrialState.COMPLETE, 5.0),
        (TrialState.COMPLETE, 4.0),
    ]
