from pathlib import Path

import pytest
from gain_records import put_shared, put_study, put_trial, spread

from ss3d.data.dataset import open_dataset
from ss3d.data.loader import TrialData
from ss3d.report.arm_gains import ArmGains, arm_gains, count_labeled
from ss3d.store.directory import DirectoryStore
from ss3d.trial.history import load_study_record

ARMS = ("full", "no phantom", "few labels")
VALUES = {"full": 8.0, "no phantom": 8.5, "few labels": 12.0}
RATIOS = {"full": 0.2, "no phantom": 0.2, "few labels": 0.05}


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    store = DirectoryStore(tmp_path)
    put_study(store)
    return store


def put_arms(store: DirectoryStore, replicates: int, skipped: tuple[int, ...] = ()) -> None:
    """Replicate r is worse by r; controls are at the value + 0.4, pretrained states at + 1."""
    numbers = iter(range(99))
    for replicate in range(replicates):
        for arm in ARMS:
            number, value = next(numbers), VALUES[arm] + replicate
            keys = (f"{number:02d}" * 32, f"{number + 50:02d}" * 32)
            noise = {"width": 0.1, "seed": number}
            put_shared(store, "pretrain", spread(value + 1, **noise), key=keys[0])
            put_shared(store, "control", spread(value + 0.4, **noise), key=keys[1])
            stratum = {"replicate": replicate, "arm": arm}
            state = "pruned" if number in skipped else "complete"
            put_trial(
                store, number, spread(value, width=0.1, seed=number + 500), state, stratum, keys,
                data__labeled_ratio=RATIOS[arm],
            )  # fmt: skip


def arms_of(store: DirectoryStore) -> list[ArmGains]:
    return arm_gains(store, load_study_record(store, "demo"))


def test_replicates_are_pooled_in_the_order_of_arms(store: DirectoryStore) -> None:
    put_arms(store, replicates=3)
    found = arms_of(store)
    assert [arm.label for arm in found] == list(ARMS)
    full = found[0]
    assert full.stratum == {"arm": "full"}
    assert full.trials == ("t00000", "t00003", "t00006")
    assert (full.num_replicates, full.labeled_ratio) == (3, 0.2)
    assert (full.cd_l1, full.cd_l1_sd, full.category_mean) == pytest.approx((9.0, 1.0, 10.0))
    control, start = full.over_control.gain, full.over_pretrained.gain
    assert control is not None
    assert start is not None
    assert (control.mean, start.mean) == pytest.approx((0.4, 1.0))
    assert (control.num_replicates, control.num_models, control.verdict) == (3, 40, "better")


def test_the_first_arm_is_the_reference_of_all(store: DirectoryStore) -> None:
    put_arms(store, replicates=2)
    full, phantom, few = arms_of(store)
    assert [full.reference, phantom.reference, few.reference] == ["", "full", "full"]
    assert full.over_reference.gain is None
    assert few.over_reference.gain is not None
    assert few.over_reference.gain.mean == pytest.approx(VALUES["full"] - VALUES["few labels"])
    gain = phantom.over_reference.gain
    assert gain is not None
    assert gain.mean == pytest.approx(-0.5)
    assert (gain.verdict, gain.num_replicates) == ("worse", 2)


def test_only_replicates_of_both_are_compared(store: DirectoryStore) -> None:
    put_arms(store, replicates=3, skipped=(3,))  # replicate 1 of `full`
    full, phantom, _ = arms_of(store)
    assert (full.num_replicates, phantom.num_replicates) == (2, 3)
    gain = phantom.over_reference.gain
    assert gain is not None
    assert (gain.mean, gain.num_replicates) == (pytest.approx(-0.5), 2)
    assert phantom.over_reference.reason == "1 of 3 replicates not complete in full"


def test_an_arm_without_complete_trials_stays_and_says_so(store: DirectoryStore) -> None:
    put_arms(store, replicates=1, skipped=(0,))
    full, phantom, _ = arms_of(store)
    assert (full.trials, full.cd_l1, full.cd_l1_sd) == ((), None, None)
    assert full.over_control.reason == "no trial is complete"
    assert phantom.reference == "full"
    assert phantom.over_reference.reason == "no replicate is complete in it and in full"
    assert phantom.cd_l1_sd is None


def test_a_control_that_is_missing_is_left_out_and_told(store: DirectoryStore) -> None:
    for replicate, control in enumerate(("cc" * 32, "dd" * 32)):
        stratum = {"replicate": replicate, "arm": "full"}
        put_trial(store, replicate, spread(8.0), stratum=stratum, keys=("aa" * 32, control))
    put_shared(store, "pretrain", spread(10.0))
    put_shared(store, "control", spread(9.0))
    (full,) = arms_of(store)
    assert full.over_control.gain is not None
    assert full.over_control.gain.num_replicates == 1
    assert full.over_control.reason == "1 of 2 trials left out: its control is not made yet"
    assert full.over_pretrained.reason == ""


def test_without_arms_strata_are_told_and_their_trials_averaged(store: DirectoryStore) -> None:
    put_shared(store, "pretrain", spread(10.0))
    put_shared(store, "control", spread(9.0))
    for number, (ratio, value) in enumerate([(0.1, 8.0), (0.2, 6.0), (0.1, 7.0)]):
        stratum = {"data.labeled_ratio": ratio}
        put_trial(store, number, spread(value), stratum=stratum, data__labeled_ratio=ratio)
    tenth, fifth = arms_of(store)
    assert (tenth.label, fifth.label) == ("r0.1", "r0.2")
    assert (tenth.trials, tenth.num_replicates) == (("t00000", "t00002"), 1)
    assert tenth.over_control.gain is not None
    assert tenth.over_control.gain.mean == pytest.approx(1.5)
    assert tenth.cd_l1 == pytest.approx(7.5)
    assert tenth.cd_l1_sd is None


def test_other_validation_models_are_not_compared(store: DirectoryStore) -> None:
    for number, count in enumerate((40, 30)):
        keys = (f"a{number}" * 32, f"c{number}" * 32)
        put_shared(store, "pretrain", spread(10.0, count), key=keys[0])
        put_shared(store, "control", spread(9.0, count), key=keys[1])
        put_trial(store, number, spread(8.0, count), stratum={"arm": ARMS[number]}, keys=keys)
    _, other = arms_of(store)
    assert other.over_control.gain is not None
    assert other.over_reference.gain is None
    assert other.over_reference.reason == "full has other validation models"


def test_labeled_models_are_counted_as_trials_split_them(
    data_folder: Path, tiny_data: TrialData, quick_config, store: DirectoryStore
) -> None:
    manifest = open_dataset(DirectoryStore(data_folder)).manifest
    assert count_labeled(manifest, quick_config.data) == len(tiny_data.labeled)
    put_arms(store, replicates=1)
    full, _, few = arm_gains(store, load_study_record(store, "demo"), manifest)
    assert (full.num_labeled, few.num_labeled) == (8, 8)  # at least one of each category
