"""What a rerun will do, and what counts as repeated: shared metrics, and the weights."""

import json
import time
from pathlib import Path

import pytest

from ss3d.config import TrialConfig
from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.trial.records import EpochReport, Phase, TrialSpec
from ss3d.trial.rerun import Plan
from ss3d.trial.verdict import compare, record_verdict


def report(epoch: int, digest: str = "a", phase: Phase = "semi", **metrics: float) -> EpochReport:
    return EpochReport(
        phase=phase,
        epoch=epoch,
        step=epoch,
        metrics={f"val/{name}": value for name, value in metrics.items()},
        system={"epoch_s": float(epoch)},
        digest=digest,
    )


ORIGINAL = [report(0, cd_l1=9.0, gain=0.0), report(1, cd_l1=8.0, gain=1.0)]


def test_equal_metrics_and_weights_are_bitwise_whatever_the_seconds():
    verdict = compare(ORIGINAL, [report(0, cd_l1=9.0, gain=0.0), report(1, cd_l1=8.0, gain=1.0)])
    assert (verdict.verdict, verdict.first_difference, verdict.epochs) == ("bitwise", None, 2)
    assert verdict.only_original == verdict.only_rerun == []


def test_a_metric_that_only_one_side_has_is_a_note_and_no_difference():
    again = [report(0, cd_l1=9.0, f_score=0.1), report(1, cd_l1=8.0, f_score=0.2)]
    verdict = compare(ORIGINAL, again)
    assert (verdict.verdict, verdict.first_difference) == ("bitwise", None)
    assert (verdict.only_original, verdict.only_rerun) == (["val/gain"], ["val/f_score"])


def test_a_note_names_what_is_missing_in_any_epoch():
    again = [report(0, cd_l1=9.0, gain=0.0), report(1, cd_l1=8.0)]
    verdict = compare(ORIGINAL, again)
    assert verdict.verdict == "bitwise"
    assert verdict.only_original == ["val/gain"]


def test_a_shared_metric_that_differs_is_found_beside_others_that_are_missing():
    again = [report(0, cd_l1=9.0), report(1, cd_l1=8.01, extra=1.0)]
    verdict = compare(ORIGINAL, again)
    assert verdict.verdict == "within tolerance"
    assert verdict.first_difference == {
        "phase": "semi", "epoch": 1, "name": "val/cd_l1", "original": 8.0, "rerun": 8.01
    }  # fmt: skip


@pytest.mark.parametrize(("last", "verdict"), [(8.0, "within tolerance"), (8.2, "differs")])
def test_other_weights_are_never_bitwise(last: float, verdict: str):
    again = [report(0, cd_l1=9.0, gain=0.0), report(1, "b", cd_l1=last, gain=1.0)]
    found = compare(ORIGINAL, again)
    assert found.verdict == verdict
    assert found.first_difference is not None
    assert found.first_difference["name"] == ("weights" if last == 8.0 else "val/cd_l1")


def test_runs_without_a_common_epoch_are_not_the_same():
    assert compare(ORIGINAL, [report(5, cd_l1=9.0)]).verdict == "differs"


def test_verdicts_are_kept_beside_the_trial_the_newest_last(tmp_path: Path):
    store, spec = DirectoryStore(tmp_path), TrialSpec.model_construct(study="s", trial="t00000")
    keys = []
    for again in (ORIGINAL, [report(0, cd_l1=9.0)], [report(0, cd_l1=7.0)]):
        keys.append(record_verdict(store, spec, compare(ORIGINAL, again), "cpu"))
        time.sleep(0.01)
    assert list(store.list(layout.reruns("s", "t00000"))) == keys
    found = [json.loads(blob.data) for key in keys if (blob := store.get(key))]
    kept = [(one["verdict"], one["epochs"], one["device"]) for one in found]
    assert kept == [("bitwise", 2, "cpu"), ("bitwise", 1, "cpu"), ("differs", 1, "cpu")]
    assert found[2]["first_difference"]["rerun"] == 7.0


def test_compared_epochs_are_counted_by_phase():
    pretraining = [report(epoch, phase="pretrain", cd_l1=9.0) for epoch in (1, 2)]
    found = compare([*pretraining, *ORIGINAL], [*pretraining, ORIGINAL[0]])
    assert (found.epochs, found.pretrain_epochs, found.after) == (1, 2, None)
    assert compare(ORIGINAL, ORIGINAL[1:], after=0).after == 0


@pytest.mark.parametrize(
    ("bundle", "after", "last", "repeated", "seconds"),
    [
        (None, None, 3, "p1 p2 s0 s1 s2 s3", 1 + 2 + 0 + 1 + 2 + 3),
        ("shared", None, 3, "s0 s1 s2 s3", 6),
        ("shared", None, 1, "s0 s1", 1),
        ("checkpoint", 1, 3, "s2 s3", 5),
    ],
)
def test_a_plan_knows_what_it_repeats_and_how_long_that_took(
    bundle: str | None, after: int | None, last: int, repeated: str, seconds: float
):
    pretraining = [report(epoch, phase="pretrain") for epoch in (1, 2)]
    original = (*pretraining, *(report(epoch) for epoch in range(4)))
    plan = Plan(TrialConfig(), bundle, after, last, original)
    assert " ".join(f"{one.phase[0]}{one.epoch}" for one in plan.repeated) == repeated
    assert plan.num_epochs == len(plan.repeated)
    assert plan.seconds == seconds


def test_the_time_of_a_pretraining_that_nobody_recorded_is_unknown():
    plan = Plan(TrialConfig(), None, None, 1, (report(0), report(1)))
    assert plan.seconds is None
    assert plan.num_epochs == TrialConfig().pretrain.epochs + 2
