from collections.abc import Callable
from pathlib import Path

import pytest
from tracking_records import STUDY_SPEC, make_trial

from ss3d.errors import CheckpointError
from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.trial.history import load_readable, load_study_record, read_budget
from ss3d.trial.records import TrialRecord


def test_the_largest_extension_is_the_budget(store: DirectoryStore) -> None:
    assert read_budget(store, "demo", STUDY_SPEC) == 1
    for number, trials in ((2, 5), (3, 9)):
        key = layout.study("demo", "budget", f"{number:04d}.json")
        store.put_new(key, b'{"schema":1,"trials":%d}' % trials)
    assert read_budget(store, "demo", STUDY_SPEC) == 9
    store.put_new(layout.study("demo", "budget", "0004.json"), b'{"schema":1}')
    with pytest.raises(CheckpointError, match=r"0004\.json is damaged"):
        read_budget(store, "demo", STUDY_SPEC)


def test_a_damaged_trial_is_named_beside_those_that_can_be_read(
    store: DirectoryStore, put_trial: Callable[[TrialRecord], None], settings
) -> None:
    put_trial(make_trial(0, "pruned"))
    put_trial(make_trial(1, "pruned"))
    spec = Path(settings.store_address) / layout.trial("demo", "t00000", "spec.json")
    spec.write_bytes(b"[")
    record, problems = load_readable(store, "demo")
    assert [trial.spec.trial for trial in record.trials] == ["t00001"]
    assert list(problems) == ["trial demo/t00000"]
    with pytest.raises(CheckpointError):
        load_study_record(store, "demo")
