"""What must be true after any harm and a resume: one list for all cases."""

from __future__ import annotations

from collections import Counter

from chaos_study import NAME, ChaosStudy, attempts, pretrain_keys

from ss3d.cli.doctor import compare
from ss3d.store import layout
from ss3d.tracking.connection import open_client
from ss3d.tracking.resync import sync
from ss3d.trial.records import StudyRecord, TrialRecord


def check_aftermath(chaos: ChaosStudy, undisturbed: StudyRecord) -> None:
    """Prove that nothing is lost, nothing is there twice, and all results are as they should be."""
    record = chaos.record()
    assert [trial.spec.trial for trial in record.trials] == [
        layout.trial_id(number) for number in range(chaos.trials)
    ]
    assert all(trial.result for trial in record.trials)
    for trial, expected in zip(record.trials, undisturbed.trials, strict=True):
        assert _outcome(trial) == _outcome(expected)
    _check_nothing_ran_twice(chaos)
    assert sync(chaos.store, chaos.settings, NAME)["problems"] == {}
    again = sync(chaos.store, chaos.settings, NAME)
    assert (again["runs"], again["epochs"], again["files"]) == (0, 0, 0)
    _check_runs(chaos, record)
    is_running, checks = compare(chaos.settings, chaos.store, NAME, is_deep=True)
    assert not is_running
    assert {check.name: check.differences for check in checks if check.outcome != "ok"} == {}


def _outcome(trial: TrialRecord) -> tuple[object, ...]:
    """Return all of a trial that must repeat bit for bit."""
    assert trial.result is not None
    curve = [(r.phase, r.epoch, r.step, r.metrics, r.digest) for r in trial.reports]
    return trial.spec.params, trial.state, trial.result.values, trial.result.reason, curve


def _check_nothing_ran_twice(chaos: ChaosStudy) -> None:
    """Results stay as they were written; a pretraining began again only where it was broken off."""
    store = chaos.store
    for name, (data, before) in chaos.kept.items():
        blob = store.get(layout.trial(NAME, name, "result.json"))
        assert blob is not None
        assert blob.data == data
        assert attempts(store, layout.trial(NAME, name)) == before
    for key in pretrain_keys(store):
        made = attempts(store, layout.pretrain(key))
        assert 1 <= len(made) <= 1 + chaos.broken_off[key], made


def _check_runs(chaos: ChaosStudy, record: StudyRecord) -> None:
    """Ask MLflow itself: each trial is there exactly once, and none is RUNNING."""
    client = open_client(chaos.settings)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments, filter_string="tags.`ss3d.kind` = 'trial'")
    assert Counter(run.data.tags["ss3d.trial"] for run in runs) == {
        f"{NAME}/{trial.spec.trial}": 1 for trial in record.trials
    }
    assert {run.info.status for run in runs} <= {"FINISHED", "KILLED", "FAILED"}
