import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from servers.local_stack import ON_EACH_TRACKING
from tracking_records import STUDY_SPEC, make_pretrain, make_reports, make_trial, put_preview

from ss3d.config import canonical_json
from ss3d.errors import CheckpointError
from ss3d.settings import Settings
from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.store.lease import take_lease
from ss3d.tracking.projection import Projection
from ss3d.tracking.resync import sync
from ss3d.tracking.run_index import trial_run_ids
from ss3d.trial.records import TrialRecord

PutTrial = Callable[[TrialRecord], None]
ENDS = (".png", "+compressed.webp")


@pytest.fixture
def client(settings: Settings) -> MlflowClient:
    return MlflowClient(settings.tracking_uri)


@pytest.fixture
def projection(settings: Settings, store: DirectoryStore) -> Projection:
    return Projection(settings, store)


def all_runs(client: MlflowClient) -> list[Run]:
    experiment = client.get_experiment_by_name("shapes")
    return [] if experiment is None else list(client.search_runs([experiment.experiment_id]))


def curve(client: MlflowClient, run_id: str, metric: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in client.get_metric_history(run_id, metric)]


def files_below(client: MlflowClient, run_id: str, folder: str | None = None) -> set[str]:
    found = set()
    for entry in client.list_artifacts(run_id, folder):
        found |= files_below(client, run_id, entry.path) if entry.is_dir else {entry.path}
    return found


@ON_EACH_TRACKING
def test_a_running_trial_shows_name_parameters_and_curves(
    projection: Projection, client: MlflowClient
) -> None:
    run = client.get_run(projection.trial(STUDY_SPEC, make_trial(17, epochs=4)))

    assert run.info.run_name == "t00017 · r0.1 α0.999 m0.5 lr=0.0003"
    assert run.info.status == "RUNNING"
    assert run.data.params["semi.ema_decay"] == "0.999"
    assert run.data.params["data.categories"] == "None"
    assert len(run.data.params) == len(make_trial().spec.config.flatten())
    assert run.data.tags["ss3d.trial"] == "demo/t00017"
    assert run.data.tags["ss3d.stratum"] == "r0.1"
    assert run.inputs.dataset_inputs[0].dataset.name == "shapes"
    values = [(0, 12.0), (1, 11.5), (2, 11.0), (3, 10.5)]
    assert curve(client, run.info.run_id, "val/cd_l1") == values
    times = [point.timestamp for point in client.get_metric_history(run.info.run_id, "train/step")]
    assert times == [1_700_000_102_000 + 2000 * epoch for epoch in range(4)]


@ON_EACH_TRACKING
def test_trials_and_pretrains_are_children_of_their_study(
    projection: Projection, client: MlflowClient
) -> None:
    parent = projection.study(STUDY_SPEC, [], "RUNNING")
    trial = client.get_run(projection.trial(STUDY_SPEC, make_trial()))
    pretrain = client.get_run(projection.shared(STUDY_SPEC, make_pretrain(), "FINISHED"))

    assert client.get_run(parent).info.run_name == "demo"
    assert {trial.data.tags["mlflow.parentRunId"], pretrain.data.tags["mlflow.parentRunId"]} == {
        parent
    }
    assert trial.data.tags["ss3d.pretrain"] == pretrain.data.tags["ss3d.pretrain"]
    assert pretrain.info.run_name == "pretrain abababab · r0.1 h8"
    assert pretrain.info.status == "FINISHED"
    assert "semi.ema_decay" not in pretrain.data.params
    assert len(curve(client, pretrain.info.run_id, "val/cd_l1")) == 3


@ON_EACH_TRACKING
def test_writing_the_same_again_writes_nothing(
    settings: Settings, store: DirectoryStore, client: MlflowClient, put_trial: PutTrial
) -> None:
    records = [make_trial(0, "complete"), make_trial(1, "pruned", epochs=2), make_trial(2)]
    for record in records:
        put_trial(record)

    def project(projection: Projection) -> None:
        projection.study(STUDY_SPEC, records, "RUNNING")
        projection.shared(STUDY_SPEC, make_pretrain(), "FINISHED")
        for record in records:
            projection.trial(STUDY_SPEC, record)

    first, fresh = Projection(settings, store), Projection(settings, store)
    project(first)
    before = {run.info.run_id: run.to_dictionary() for run in all_runs(client)}
    assert first.written["runs"] == 5
    assert first.written["epochs"] == 4 + 2 + 4 + 3
    counted = dict(first.written)
    project(first)
    project(fresh)
    after = {run.info.run_id: run.to_dictionary() for run in all_runs(client)}
    assert dict(first.written) == counted
    assert sum(fresh.written.values()) == 0
    assert after == before
    for run_id in before:
        points = curve(client, run_id, "val/cd_l1")
        assert len(points) == len(set(points))


@ON_EACH_TRACKING
def test_a_new_process_goes_on_after_the_last_epoch(
    settings: Settings, store: DirectoryStore, client: MlflowClient
) -> None:
    Projection(settings, store).trial(STUDY_SPEC, make_trial(epochs=2))
    fresh = Projection(settings, store)
    run_id = fresh.trial(STUDY_SPEC, make_trial(epochs=5))
    assert fresh.written["epochs"] == 3
    assert fresh.written["runs"] == 0
    assert [epoch for epoch, _ in curve(client, run_id, "train/loss")] == [0, 1, 2, 3, 4]


@ON_EACH_TRACKING
@pytest.mark.parametrize(
    ("state", "status"), [("complete", "FINISHED"), ("pruned", "KILLED"), ("failed", "FAILED")]
)
def test_a_finished_trial_has_status_reason_and_files(
    state: str, status: str, projection: Projection, client: MlflowClient, put_trial: PutTrial
) -> None:
    record = make_trial(3, state, reason="" if state == "complete" else "rung 2: 11.5 > 11.0")
    put_trial(record)
    run = client.get_run(projection.trial(STUDY_SPEC, record))
    assert run.info.status == status
    assert run.info.end_time == 1_700_000_500_000
    assert run.data.tags["ss3d.state"] == state
    assert run.data.tags.get("ss3d.reason", "") == record.result.reason
    assert record.result.reason in run.data.tags["mlflow.note.content"]
    files = files_below(client, run.info.run_id)
    always = {"config.json", "pictures/curve.png"}
    of_the_best = {
        "best/student.safetensors",
        "best/config.json",
        "best/metrics.json",
        "best/previews/val.safetensors",
        "pictures/reconstructions.png",
        "clouds/chair-1.ply",
        "clouds/table-2.ply",
        "clouds/viewer.html",
    }
    assert files == always | of_the_best if state == "complete" else files == always


def test_the_log_of_a_failed_trial_is_an_artifact(
    projection: Projection,
    client: MlflowClient,
    put_trial: PutTrial,
    store: DirectoryStore,
    tmp_path: Path,
) -> None:
    record = make_trial(3, "failed", epochs=0, reason="loss is NaN in epoch 1")
    put_trial(record)
    (tmp_path / "a1.txt").write_text("Traceback")
    store.put_file(layout.trial("demo", "t00003", "log", "a1.txt"), tmp_path / "a1.txt")
    run_id = projection.trial(STUDY_SPEC, record)
    assert files_below(client, run_id) == {"config.json", "log/a1.txt"}


@ON_EACH_TRACKING
def test_values_that_are_not_finite_are_left_out_and_named(
    projection: Projection, client: MlflowClient
) -> None:
    reports = list(make_reports(3))
    bad = reports[1].metrics | {"train/loss": math.nan, "val/gain": -math.inf}
    reports[1] = reports[1].model_copy(update={"metrics": bad})
    record = make_trial().model_copy(update={"reports": tuple(reports)})
    run_id = projection.trial(STUDY_SPEC, record)
    assert [epoch for epoch, _ in curve(client, run_id, "train/loss")] == [0, 2]
    assert [epoch for epoch, _ in curve(client, run_id, "val/cd_l1")] == [0, 1, 2]
    tag = client.get_run(run_id).data.tags["ss3d.not_finite"]
    assert tag == "train/loss in epoch 1; val/gain in epoch 1"


def test_a_complete_trial_without_weights_is_told_and_finished_later(
    projection: Projection, client: MlflowClient, put_trial: PutTrial
) -> None:
    record = make_trial(4, "complete")
    with pytest.raises(CheckpointError, match="no bundle"):
        projection.trial(STUDY_SPEC, record)
    put_trial(record)
    run = client.get_run(projection.trial(STUDY_SPEC, record))
    assert "best/student.safetensors" in files_below(client, run.info.run_id)


def test_the_study_shows_its_leaderboard(projection: Projection, client: MlflowClient) -> None:
    trials = [make_trial(0, "complete", value=12), make_trial(1, "complete", value=11)]
    run = client.get_run(projection.study(STUDY_SPEC, trials, "FINISHED"))
    note = run.data.tags["mlflow.note.content"]
    assert note.index("t00001") < note.index("t00000")
    assert run.data.tags["ss3d.num_complete"] == "2"
    assert run.info.status == "FINISHED"


@ON_EACH_TRACKING
def test_sync_rebuilds_a_study_from_the_store(
    settings: Settings, store: DirectoryStore, put_trial: PutTrial
) -> None:
    put_trial(make_trial(0, "complete"))
    put_trial(make_trial(1, "pruned", epochs=2))
    counts = sync(store, settings, "demo")
    assert counts == {
        "trials": 2,
        "shared": 0,
        "runs": 3,
        "epochs": 6,
        "files": 15,
        "problems": {},
    }
    again = sync(store, settings, "demo")
    assert again == {
        "trials": 2,
        "shared": 0,
        "runs": 0,
        "epochs": 0,
        "files": 0,
        "problems": {},
    }
    assert set(trial_run_ids(settings, STUDY_SPEC)) == {"t00000", "t00001"}


@ON_EACH_TRACKING
def test_the_experiment_has_a_table_of_the_trials(
    projection: Projection, client: MlflowClient
) -> None:
    spec = STUDY_SPEC | {"parameters": {"semi.ema_decay": {"low": 0.9, "high": 0.99}}}
    projection.study(spec, [], "RUNNING")
    tags = client.get_experiment_by_name("shapes").tags
    view = json.loads(tags["mlflow.sharedViewState.ss3d-demo"])
    assert "params.`semi.ema_decay`" in view["selectedColumns"]
    assert view["orderByAsc"]
    experiment = client.get_experiment_by_name("shapes").experiment_id
    projection.trial(spec, make_trial())
    found = client.search_runs(
        [experiment], filter_string=view["searchFilter"], order_by=[f"{view['orderByKey']} ASC"]
    )
    assert [run.data.tags["ss3d.trial"] for run in found] == ["demo/t00017"]


def put_log(store: DirectoryStore, key: str, folder: Path) -> None:
    (folder / "log.txt").write_text("Traceback")
    store.put_file(key, folder / "log.txt")


def test_a_log_that_comes_after_the_result_is_shown_too(
    settings: Settings,
    store: DirectoryStore,
    client: MlflowClient,
    put_trial: PutTrial,
    tmp_path: Path,
) -> None:
    record = make_trial(3, "failed", epochs=2, reason="killed")
    put_trial(record)
    run_id = Projection(settings, store).trial(STUDY_SPEC, record)
    assert "log/a1.txt" not in files_below(client, run_id)
    put_log(store, layout.trial("demo", "t00003", "log", "a1.txt"), tmp_path)
    put_log(store, layout.pretrain(record.spec.pretrain_key, "log", "a1.txt"), tmp_path)
    Projection(settings, store).trial(STUDY_SPEC, record)
    files = files_below(client, run_id)
    assert "log/a1.txt" in files
    assert "log/pretrain/a1.txt" not in files  # it had its pretrained state: it has epoch 0
    again = Projection(settings, store)
    again.trial(STUDY_SPEC, record)
    assert again.written["files"] == 0


def test_a_trial_whose_pretraining_failed_shows_that_log(
    projection: Projection,
    store: DirectoryStore,
    client: MlflowClient,
    put_trial: PutTrial,
    tmp_path: Path,
) -> None:
    record = make_trial(3, "failed", epochs=0, reason="its pretraining failed: out of memory")
    put_trial(record)
    put_log(store, layout.pretrain(record.spec.pretrain_key, "log", "a1.txt"), tmp_path)
    run_id = projection.trial(STUDY_SPEC, record)
    assert files_below(client, run_id) == {"config.json", "log/pretrain/a1.txt"}


def study_run_status(client: MlflowClient) -> str:
    (run,) = [run for run in all_runs(client) if run.data.tags["ss3d.kind"] == "study"]
    return run.info.status


def test_sync_leaves_an_interrupted_study_killed_until_its_budget_is_done(
    settings: Settings, store: DirectoryStore, client: MlflowClient, put_trial: PutTrial
) -> None:
    put_trial(make_trial(0, "complete"))
    sync(store, settings, "demo")
    assert study_run_status(client) == "FINISHED"
    store.put_new(layout.study("demo", "budget", "0002.json"), b'{"schema":1,"trials":3}')
    put_trial(make_trial(1))
    sync(store, settings, "demo")
    assert study_run_status(client) == "KILLED"
    with take_lease(store, layout.study("demo", "driver.lease"), "study demo"):
        sync(store, settings, "demo")
        assert study_run_status(client) == "RUNNING"
    put_trial(make_trial(2, "pruned"))
    sync(store, settings, "demo")
    assert study_run_status(client) == "KILLED"


def test_sync_shows_a_pretraining_that_failed(
    settings: Settings, store: DirectoryStore, client: MlflowClient, put_trial: PutTrial
) -> None:
    record = make_trial(0, "failed", epochs=0, reason="its pretraining failed: killed")
    put_trial(record)
    config = canonical_json(record.spec.config.model_dump(mode="json")).encode()
    store.put_new(layout.pretrain(record.spec.pretrain_key, "config.json"), config)
    sync(store, settings, "demo")
    (run,) = [run for run in all_runs(client) if run.data.tags["ss3d.kind"] == "pretrain"]
    assert run.info.status == "FAILED"
    assert run.data.tags["ss3d.state"] == "failed"


@ON_EACH_TRACKING
def test_the_parent_run_has_the_page_and_the_figures_of_a_study(
    settings: Settings, store: DirectoryStore, put_trial: PutTrial, client: MlflowClient
) -> None:
    put_trial(make_trial(0, "complete"))
    put_trial(make_trial(1, "pruned", epochs=2))
    sync(store, settings, "demo")
    (run,) = (run for run in all_runs(client) if run.data.tags["ss3d.kind"] == "study")
    assert files_below(client, run.info.run_id) == {
        "report.html",
        "figures/cost.png",
        "figures/history.png",
    }
    path = client.download_artifacts(run.info.run_id, "report.html", str(settings.home))
    assert "t00000" in Path(path).read_text()

    put_trial(make_trial(2, "complete", value=11.0))
    sync(store, settings, "demo")
    path = client.download_artifacts(run.info.run_id, "report.html", str(settings.home))
    assert "t00002" in Path(path).read_text()


def test_a_study_that_runs_has_no_figures_yet(
    settings: Settings, store: DirectoryStore, put_trial: PutTrial, client: MlflowClient
) -> None:
    put_trial(make_trial(0, "complete"))
    with take_lease(store, layout.study("demo", "driver.lease"), "study demo"):
        sync(store, settings, "demo")
    (run,) = (run for run in all_runs(client) if run.data.tags["ss3d.kind"] == "study")
    assert files_below(client, run.info.run_id) == set()


def test_predictions_over_epochs_are_images_that_mlflow_slides_through(
    settings: Settings,
    store: DirectoryStore,
    client: MlflowClient,
    put_trial: PutTrial,
    tmp_path: Path,
) -> None:
    record = make_trial(1, "pruned", epochs=3, reason="asha")
    put_trial(record)
    put_preview(store, "t00001", 0, tmp_path)
    projection = Projection(settings, store)
    run_id = projection.trial(STUDY_SPEC, record)
    names = [f"images/predictions+step+0+timestamp+1700000100000+t00001{end}" for end in ENDS]
    always = {"config.json", "pictures/curve.png", "pictures/epochs.png"}
    assert files_below(client, run_id) == {*always, *names}
    assert client.get_run(run_id).data.tags["mlflow.loggedImages"] == "True"

    put_preview(store, "t00001", 2, tmp_path)  # it was still on its way
    for _ in range(2):
        projection.trial(STUDY_SPEC, record)
    steps = {name.split("+")[2] for name in files_below(client, run_id) if "+step+" in name}
    assert steps == {"0", "2"}
    assert projection.written["files"] == 5 + 7


def test_a_trial_links_to_the_runs_of_what_it_shares(
    projection: Projection, client: MlflowClient
) -> None:
    record = make_trial()
    note = "mlflow.note.content"
    tags = client.get_run(projection.trial(STUDY_SPEC, record)).data.tags
    assert "ss3d.pretrain_run" not in tags
    assert "pretrained state `abababab`." in tags[note]
    pretrain = projection.shared(STUDY_SPEC, make_pretrain(), "FINISHED")
    run = client.get_run(projection.trial(STUDY_SPEC, record))
    assert run.data.tags["ss3d.pretrain_run"] == pretrain
    page = f"#/experiments/{run.info.experiment_id}/runs/{pretrain}?"
    assert f"pretrained state [`abababab`]({page}" in run.data.tags[note]


def test_a_trial_goes_out_in_as_few_batches_as_mlflow_allows(
    settings: Settings,
    store: DirectoryStore,
    client: MlflowClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes: list[int] = []
    log_batch = SqlAlchemyStore.log_batch

    def count(self: SqlAlchemyStore, run_id: str, **entities: list[Any]) -> None:
        sizes.append(sum(map(len, entities.values())))
        log_batch(self, run_id, **entities)

    monkeypatch.setattr(SqlAlchemyStore, "log_batch", count)
    records = [make_trial(0, epochs=5), make_trial(1, epochs=200)]
    projection = Projection(settings, store)
    projection.find_trials(STUDY_SPEC, records)
    runs = [projection.trial(STUDY_SPEC, record) for record in records]
    assert len(sizes) == 1 + 2
    assert sizes[1] == 1000
    for run_id, record in zip(runs, records, strict=True):
        held = client.get_run(run_id)
        assert held.data.params.keys() == record.spec.config.flatten().keys()
        for name in held.data.metrics:
            steps = [step for step, _ in curve(client, run_id, name)]
            assert steps == [report.epoch for report in record.reports]


def test_trials_asked_for_together_are_found_or_made_once(
    settings: Settings, store: DirectoryStore, client: MlflowClient
) -> None:
    records = [make_trial(number, epochs=2) for number in range(3)]
    Projection(settings, store).trial(STUDY_SPEC, records[1])
    for missing in (2, 0):
        projection = Projection(settings, store)
        for _ in range(2):
            projection.find_trials(STUDY_SPEC, records)
            for record in records:
                projection.trial(STUDY_SPEC, record)
        assert projection.written["epochs"] == 2 * missing
    names = sorted(run.info.run_name.split(" ")[0] for run in all_runs(client))
    assert names == ["demo", "t00000", "t00001", "t00002"]


@pytest.mark.parametrize("together", [True, False])
def test_a_second_run_of_a_driver_that_was_stopped_is_deleted(
    settings: Settings, store: DirectoryStore, client: MlflowClient, together: bool
) -> None:
    records = [make_trial(number, epochs=2) for number in range(2)]
    stopped = Projection(settings, store)
    stopped.find_trials(STUDY_SPEC, records)  # then another one takes over, and it goes on
    for projection in (Projection(settings, store), stopped):
        for record in records:
            projection.trial(STUDY_SPEC, record)
    assert len(all_runs(client)) == 1 + 2 * 2
    projection = Projection(settings, store)
    if together:
        projection.find_trials(STUDY_SPEC, records)
    kept = [projection.trial(STUDY_SPEC, record) for record in records]
    assert {run.info.run_id for run in all_runs(client) if "t0" in run.info.run_name} == {*kept}
    for run_id, record in zip(kept, records, strict=True):
        steps = [step for step, _ in curve(client, run_id, "val/cd_l1")]
        assert steps == [report.epoch for report in record.reports]
