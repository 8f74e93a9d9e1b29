"""What counts as a repeated trial: the metrics both sides have, and the weights."""

import json
import time
from pathlib import Path

import pytest

from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.trial.records import EpochReport, TrialSpec
from ss3d.trial.verdict import compare, record_verdict


def report(epoch: int, digest: str = "a", **metrics: float) -> EpochReport:
    return EpochReport(
        phase="semi",
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
