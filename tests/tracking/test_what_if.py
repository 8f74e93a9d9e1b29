"""What-ifs in MLflow: runs of their own kind, written once, and again from the store."""

from collections.abc import Callable

from mlflow import MlflowClient
from tracking_records import CONFIG, STUDY_SPEC, make_reports, make_trial

from ss3d.settings import Settings
from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.tracking.projection import Projection
from ss3d.tracking.resync import sync
from ss3d.tracking.run_index import PARENT, list_runs
from ss3d.trial.what_if import WhatIf, read_what_ifs, record_what_if


def make_what_if(finished_at: float = 1_700_000_600.0) -> WhatIf:
    values = {"semi.lr": 1e-3}
    return WhatIf(
        study="demo", trial="t00017", values=values, config=CONFIG.override(values),
        reports=make_reports(3), device="cpu", code_version="c" * 64, data_hash="d" * 64,
        versions={}, started_at=finished_at - 10, finished_at=finished_at,
    )  # fmt: skip


def test_a_what_if_is_a_child_of_its_study_and_no_trial(
    settings: Settings, store: DirectoryStore
) -> None:
    found = make_what_if()
    run_id = Projection(settings, store).what_if(STUDY_SPEC, found)
    again = Projection(settings, store)
    assert again.what_if(STUDY_SPEC, found) == run_id
    assert again.written["runs"] == again.written["epochs"] == 0
    ((name, (run,)),) = list_runs(settings, STUDY_SPEC, "what-if").items()
    assert name == found.name == "demo/t00017/what-if-001700000600000"
    assert run.info.run_name == "t00017 · what if lr=0.001"
    assert run.info.status == "FINISHED"
    assert run.data.params["semi.lr"] == "0.001"
    assert run.data.tags["ss3d.of_trial"] == "demo/t00017"
    ((_, (parent,)),) = list_runs(settings, STUDY_SPEC, "study").items()
    assert run.data.tags[PARENT] == parent.info.run_id
    assert list_runs(settings, STUDY_SPEC, "trial") == {}
    history = MlflowClient(settings.tracking_uri).get_metric_history(run_id, "val/cd_l1")
    assert {point.step: point.value for point in history} == found.curve()


def test_an_empty_mlflow_gets_them_back_and_a_damaged_one_keeps_no_other_away(
    settings: Settings, store: DirectoryStore, put_trial: Callable
) -> None:
    put_trial(make_trial(17))
    kept = [make_what_if(), make_what_if(1_700_000_900.0)]
    for one in reversed(kept):
        record_what_if(store, one)
    assert read_what_ifs(store, "demo", "t00017") == kept
    damaged = layout.moment(layout.what_ifs("demo", "t00017"), 1.0)
    store.put_new(damaged, b"{}")
    assert list(sync(store, settings, "demo")["problems"]) == [damaged]
    assert set(list_runs(settings, STUDY_SPEC, "what-if")) == {one.name for one in kept}
    assert sync(store, settings, "demo")["epochs"] == 0
