from __future__ import annotations

from pathlib import Path

import pytest
from study_records import put_epochs, put_pretrain, put_result, put_spec

from ss3d.errors import CheckpointError
from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.study.reconcile import reconcile
from ss3d.study.space import Space, parse_space
from ss3d.study.toml_lines import TomlFile
from ss3d.trial.objectives import objectives_of

TEXT = """
[base]
preset = "tiny"
[sampler]
name = "random"
[parameters."semi.ema_decay"]
type = "float"
low = 0.5
high = 0.9
[parameters."model.num_heads"]
type = "categorical"
choices = [1, 2]
"""
METRIC = "val/cd_l1"
OBJECTIVES = objectives_of({})


@pytest.fixture(scope="module")
def space() -> Space:
    return parse_space(TomlFile(TEXT, "x.toml"), "x")


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    store = DirectoryStore(tmp_path)
    store.put_new(layout.study("s", "study.json"), b'{"schema": 1}')
    return store


def test_a_final_epochs_file_without_a_result_is_committed_once(
    store: DirectoryStore, space: Space
) -> None:
    spec = put_spec(store, "s", space, 0)
    put_epochs(store, spec, 3, is_final=False)
    put_epochs(store, spec, 4, is_final=True, attempt=2)
    agreement = reconcile(store, "s", OBJECTIVES)
    (record,) = agreement.trials
    assert record.result is not None
    assert (record.state, record.result.attempt) == ("complete", 2)
    assert record.result.values == {METRIC: 5.0}
    assert [report.epoch for report in record.reports] == [0, 1, 2, 3, 4]
    again = reconcile(store, "s", OBJECTIVES)
    assert (agreement.num_committed, again.num_committed) == (1, 0)
    assert again.trials == agreement.trials


def test_a_live_trial_goes_on_with_the_reports_of_its_newest_attempt(
    store: DirectoryStore, space: Space
) -> None:
    fresh, begun = (put_spec(store, "s", space, number) for number in range(2))
    put_epochs(store, begun, 3, is_final=False)
    put_epochs(store, begun, 1, is_final=False, attempt=2)
    agreement = reconcile(store, "s", OBJECTIVES)
    assert [record.spec for record in agreement.trials] == [fresh, begun]
    assert [record.result for record in agreement.trials] == [None, None]
    assert [len(record.reports) for record in agreement.trials] == [0, 2]
    assert agreement.num_committed == 0
    assert store.get(layout.trial("s", begun.trial, "result.json")) is None


def test_a_finished_trial_stays_as_it_is_though_more_epochs_lie_there(
    store: DirectoryStore, space: Space
) -> None:
    spec = put_spec(store, "s", space, 0)
    result = put_result(store, spec, 2)
    put_epochs(store, spec, 4, is_final=True)
    agreement = reconcile(store, "s", OBJECTIVES)
    assert [record.result for record in agreement.trials] == [result]
    assert agreement.num_committed == 0


def test_pretrained_states_and_decisions_are_read(store: DirectoryStore, space: Space) -> None:
    spec = put_spec(store, "s", space, 0)
    put_pretrain(store, spec, is_complete=True)
    key = layout.study("s", "decisions", "t00000-e000002.json")
    store.put_new(
        key,
        b'{"schema":1,"stop":true,"rule":"asha/3","rung":2,"value":2.0,"cutoff":1.0,"rank":2,'
        b'"peers":["t00001","t00000"]}',
    )
    agreement = reconcile(store, "s", OBJECTIVES)
    assert [(p.key, p.complete) for p in agreement.shared] == [(spec.pretrain_key, True)]
    decision = agreement.decided["t00000", 2]
    assert (decision.stop, decision.num_peers) == (True, 2)


def test_a_damaged_decision_is_named(store: DirectoryStore) -> None:
    store.put_new(layout.study("s", "decisions", "t00000-e000002.json"), b'{"schema":1}')
    with pytest.raises(CheckpointError, match=r"decisions/t00000-e000002\.json is damaged"):
        reconcile(store, "s", OBJECTIVES)
