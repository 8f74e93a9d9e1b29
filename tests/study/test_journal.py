from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from ss3d.errors import CheckpointError
from ss3d.study.journal import Journal, forget_study, read_trials


def trial(state: TrialState, x: float, value: float | None = None) -> FrozenTrial:
    return create_trial(
        state=state,
        value=value,
        params={"x": x},
        distributions={"x": FloatDistribution(0, 1)},
        intermediate_values={} if value is None else {1: value + 1, 2: value},
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "optuna.journal"


def stored(path: Path) -> list[FrozenTrial]:
    backend = optuna.storages.journal.JournalFileBackend(str(path))
    storage = optuna.storages.JournalStorage(backend)
    return optuna.load_study(study_name="s", storage=storage).trials


def test_a_running_trial_is_told_once(path: Path) -> None:
    journal = Journal(path, "s", ["minimize"])
    journal.agree([])
    journal.start(0, trial(TrialState.RUNNING, 0.5))
    journal.start(0, trial(TrialState.RUNNING, 0.5))
    journal.finish(0, trial(TrialState.PRUNED, 0.5, 2.0))
    journal.finish(0, trial(TrialState.COMPLETE, 0.5, 7.0))
    (held,) = stored(path)
    assert (held.number, held.state, held.value) == (0, TrialState.PRUNED, 2.0)
    assert held.intermediate_values == {1: 3.0, 2: 2.0}


def test_what_failed_for_its_size_is_told_with_the_constraint_it_violates(path: Path) -> None:
    journal = Journal(path, "s", ["minimize"])
    journal.agree([])
    journal.start(0, trial(TrialState.RUNNING, 0.5))
    failed = trial(TrialState.FAIL, 0.5)
    failed.set_constraint("memory", 1.0)
    journal.finish(0, failed)
    (held,) = stored(path)
    assert (held.state, held.constraints) == (TrialState.FAIL, {"memory": 1.0})
    assert Journal(path, "s", ["minimize"]).agree([failed]) == 1
    assert stored(path)[0]._trial_id == held._trial_id  # nothing had to be written anew


def test_a_journal_that_disagrees_is_written_anew(path: Path) -> None:
    journal = Journal(path, "s", ["minimize"])
    journal.agree([])
    journal.start(0, trial(TrialState.RUNNING, 0.1))
    truth = [trial(TrialState.COMPLETE, 0.2, 1.0), trial(TrialState.RUNNING, 0.3)]
    assert Journal(path, "s", ["minimize"]).agree(truth) == 1
    assert [t.params["x"] for t in stored(path)] == [0.2, 0.3]
    ids = [t._trial_id for t in stored(path)]
    assert Journal(path, "s", ["minimize"]).agree(truth) == 1
    assert [t._trial_id for t in stored(path)] == ids


@pytest.mark.parametrize("damage", [b"\xff\x00\n" * 40, b'{"op_code": 99}\n', b"[]\n{}\n"])
def test_a_damaged_journal_is_moved_aside_and_written_anew(
    path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(damage)
    journal = Journal(path, "s", ["minimize"])
    assert journal.agree([trial(TrialState.COMPLETE, 0.2, 1.0)]) == 1
    journal.start(1, trial(TrialState.RUNNING, 0.3))
    assert [t.params["x"] for t in stored(path)] == [0.2, 0.3]
    (aside,) = path.parent.glob("*.damaged-*")
    assert aside.read_bytes() == damage
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_journal_that_breaks_later_is_left_alone_with_one_warning(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(path, "s", ["minimize"])
    journal.agree([])
    path.unlink()
    path.mkdir()
    for number in range(3):
        journal.start(number, trial(TrialState.RUNNING, 0.5))
        journal.finish(number, trial(TrialState.COMPLETE, 0.5, 1.0))
    assert len(caplog.records) == 1
    assert "is not written any more" in caplog.text


def test_a_journal_that_cannot_be_written_at_all_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    journal = Journal(tmp_path / "file" / "optuna.journal", "s", ["minimize"])
    assert journal.agree([trial(TrialState.COMPLETE, 0.2, 1.0)]) == 0


def test_a_study_is_read_and_forgotten_and_others_stay(path: Path) -> None:
    assert read_trials(path, "s") is None
    assert not forget_study(path, "s")
    for name in ("s", "other"):
        Journal(path, name, ["minimize"]).agree([trial(TrialState.COMPLETE, 0.2, 1.0)])
    assert [t.value for t in read_trials(path, "s") or ()] == [1.0]
    assert forget_study(path, "s")
    assert not forget_study(path, "s")
    assert read_trials(path, "s") is None
    assert len(read_trials(path, "other") or ()) == 1


def test_a_damaged_journal_is_said_and_left_alone(path: Path) -> None:
    path.write_bytes(b"\x00damaged\n" * 3)
    with pytest.raises(CheckpointError, match="cannot be used"):
        read_trials(path, "s")
    assert not forget_study(path, "s")
    assert path.read_bytes() == b"\x00damaged\n" * 3
