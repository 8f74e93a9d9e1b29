from pathlib import Path

import pytest
from gain_records import (
    CONTROL,
    FAILURE,
    PRETRAIN,
    put_export,
    put_shared,
    put_study,
    put_trial,
    spread,
)

from ss3d.errors import CheckpointError
from ss3d.report.gains import TrialGains, trial_gains
from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.trial.history import load_study_record


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    """A study with a pretrained state of 10 and a control of 9."""
    store = DirectoryStore(tmp_path)
    put_study(store)
    put_shared(store, "pretrain", spread(10.0, width=0.2, seed=1))
    put_shared(store, "control", spread(9.0, width=0.2, seed=2))
    return store


def gains_of(store: DirectoryStore) -> list[TrialGains]:
    return trial_gains(store, load_study_record(store, "demo"))


def test_last_epochs_are_compared_and_the_best_of_the_start(store: DirectoryStore) -> None:
    put_trial(store, 0, spread(8.0, width=0.2, seed=3))
    (found,) = gains_of(store)
    assert found.cd_l1 == pytest.approx(8.0)
    control, start = found.over_control.gain, found.over_pretrained.gain
    assert control is not None
    assert start is not None
    assert (control.mean, start.mean) == pytest.approx((1.0, 2.0))
    assert (control.verdict, control.num_models, control.num_replicates) == ("better", 40, 1)


def test_models_are_paired_by_name_whatever_their_order(store: DirectoryStore) -> None:
    control = spread(9.0, width=0.2, seed=2)
    put_trial(store, 0, {name: control[name] - 0.01 for name in reversed(control)})
    gain = gains_of(store)[0].over_control.gain
    assert gain is not None
    assert (gain.low, gain.high) == pytest.approx((0.01, 0.01))


def test_only_complete_trials_have_gains(store: DirectoryStore) -> None:
    for number, state in enumerate(("complete", "pruned", "failed", "running")):
        put_trial(store, number, spread(8.0), state=state)
    assert [found.trial for found in gains_of(store)] == ["t00000"]


@pytest.mark.parametrize(
    ("config", "control", "reason"),
    [
        ({"semi__enabled": False}, "", "semi.enabled = false"),
        ({"semi__lambda_u": 0.0}, "", "semi.lambda_u = 0"),
        ({}, "", "sealed without a control"),
        ({}, "dd" * 32, "its control is not made yet"),
    ],
)
def test_why_there_is_no_control(
    store: DirectoryStore, config: dict[str, object], control: str, reason: str
) -> None:
    put_trial(store, 0, spread(8.0), keys=(PRETRAIN, control), **config)
    (found,) = gains_of(store)
    assert found.over_control.gain is None
    assert reason in found.over_control.reason
    assert found.over_pretrained.gain is not None


def test_a_control_that_failed_is_called_so(store: DirectoryStore) -> None:
    key = put_shared(store, "control", spread(9.0), key="dd" * 32, is_complete=False)
    store.put_new(layout.shared("control", key, "log", "a1.jsonl"), FAILURE)
    put_trial(store, 0, spread(8.0), keys=(PRETRAIN, key))
    assert gains_of(store)[0].over_control.reason == "its control failed"


def test_a_study_without_controls_says_so(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    put_study(store, controls=False)
    put_shared(store, "pretrain", spread(10.0))
    put_trial(store, 0, spread(8.0), keys=(PRETRAIN, ""))
    (found,) = gains_of(store)
    assert found.over_control.reason == "the study has no controls"
    assert found.over_pretrained.gain is not None


def test_exports_from_before_the_last_epoch_was_kept_are_told(store: DirectoryStore) -> None:
    put_trial(store, 0, None)
    (found,) = gains_of(store)
    for comparison in (found.over_control, found.over_pretrained):
        assert comparison.gain is None
        assert comparison.reason.startswith("it was exported before")


def test_a_pretrained_state_that_is_gone_is_told(store: DirectoryStore) -> None:
    put_trial(store, 0, spread(8.0), keys=("ee" * 32, CONTROL))
    (found,) = gains_of(store)
    assert found.over_pretrained.reason == "its pretrained state is not in the store"
    assert found.over_control.gain is not None


def test_bytes_that_are_not_the_manifest_s_are_damage(store: DirectoryStore) -> None:
    spec = put_trial(store, 0, spread(8.0))
    key = layout.trial("demo", spec.trial, "best", "metrics.json")
    blob = store.get(key)
    assert blob is not None
    store.put_if(key, blob.data.replace(b"8.0", b"7.0"), blob.version)
    with pytest.raises(CheckpointError, match=r"t00000/best/metrics\.json is damaged: its sha256"):
        gains_of(store)


def test_a_bundle_that_is_gone_is_damage(store: DirectoryStore) -> None:
    spec = put_trial(store, 0, spread(8.0))
    store.delete(layout.trial("demo", spec.trial, "best", "manifest.json"))
    with pytest.raises(CheckpointError, match=r"there is no bundle .*t00000/best"):
        gains_of(store)


@pytest.mark.parametrize(
    "metrics",
    [
        {"per_model_last": {"a": float("nan")}},
        {"per_model_last": {}},
        {"per_model_last": {"a": "8"}},
        {"per_model_last": [8.0]},
    ],
)
def test_values_that_are_no_distances_are_damage(
    store: DirectoryStore, metrics: dict[str, object]
) -> None:
    put_export(store, layout.shared("control", "dd" * 32, "checkpoint"), metrics)
    store.put_new(layout.shared("control", "dd" * 32, "manifest.json"), b"{}")
    put_trial(store, 0, spread(8.0), keys=(PRETRAIN, "dd" * 32))
    with pytest.raises(CheckpointError, match="per_model_last is not the cd_l1 of each"):
        gains_of(store)


def test_other_validation_models_are_damage(store: DirectoryStore) -> None:
    put_trial(store, 0, spread(8.0, count=39))
    with pytest.raises(CheckpointError, match="39 and 40, 39 in common"):
        gains_of(store)
