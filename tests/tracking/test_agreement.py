"""`ss3d doctor STUDY`: it agrees where all is well, and finds every single thing that is not."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from tracking_records import STUDY_SPEC, make_pretrain, make_trial, put_shared, write_best
from typer.testing import CliRunner

from ss3d.cli.main import app
from ss3d.config import canonical_json
from ss3d.errors import OutcomeError, ServiceError
from ss3d.settings import Settings
from ss3d.store import layout
from ss3d.store.bundle import put_bundle
from ss3d.store.directory import DirectoryStore
from ss3d.store.lease import take_lease
from ss3d.study.frozen import frozen_trial
from ss3d.study.journal import Journal, forget_study
from ss3d.study.recorder import decision_key
from ss3d.tracking.resync import sync
from ss3d.tracking.run_index import list_runs
from ss3d.trial.history import load_study_record
from ss3d.trial.objectives import objectives_of
from ss3d.trial.records import TrialRecord, TrialSpec

TRIALS = (make_trial(0, "complete"), make_trial(1, "pruned", epochs=3, reason="asha"))


@pytest.fixture(scope="module")
def agreed_home(migrated_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a study of two trials about which all agree."""
    settings = Settings(home=tmp_path_factory.mktemp("agreed") / "home")
    settings.home.mkdir()
    shutil.copyfile(migrated_database, settings.home / "mlflow.db")
    store = DirectoryStore(Path(settings.store_address))
    put_json(store, layout.study("demo", "study.json"), STUDY_SPEC)
    for trial in TRIALS:
        put_trial(store, trial)
    best = settings.home / "best"
    write_best(best, TRIALS[0].spec.config)
    put_bundle(store, layout.trial("demo", "t00000", "best"), best)
    put_json(store, decision_key("demo", "t00001", 2))
    put_shared(store, make_pretrain())
    sync(store, settings, "demo")
    trials = load_study_record(store, "demo").trials
    journal = Journal(settings.study_journal, "demo", ["minimize"])
    journal.agree([frozen_trial(t.spec, t.result, objectives_of({})) for t in trials])
    return settings.home


@pytest.fixture
def settings(agreed_home: Path, tmp_path: Path) -> Settings:
    shutil.copytree(agreed_home, tmp_path / "home")
    return Settings(home=tmp_path / "home")


@pytest.fixture
def study(settings: Settings) -> DirectoryStore:
    return DirectoryStore(Path(settings.store_address))


def put_trial(store: DirectoryStore, trial: TrialRecord) -> None:
    """Write a trial that began, with its result if it has one."""
    name = trial.spec.trial
    store.put_new(layout.trial("demo", name, "spec.json"), sealed(trial).to_json())
    put_json(store, layout.trial("demo", name, "attempts", "a1.json"))
    if trial.result:
        store.put_new(layout.trial("demo", name, "result.json"), trial.result.to_json())


def sealed(trial: TrialRecord) -> TrialSpec:
    return trial.spec.model_copy(update={"attrs": {"internal": {}, "system": {}}})


def put_json(store: DirectoryStore, key: str, tree: dict[str, object] | None = None) -> None:
    store.put_new(key, canonical_json({"schema": 1} | (tree or {})).encode())


def tell(settings: Settings, *arguments: str) -> tuple[BaseException | None, str]:
    command = ["doctor", "demo", "--home", str(settings.home), *arguments]
    result = CliRunner().invoke(app, command)
    return result.exception, result.stdout


def differing(settings: Settings, *arguments: str) -> dict[str, str]:
    """Return what differs, by check, as the command tells it."""
    error, out = tell(settings, "--json", *arguments)
    assert error is None or isinstance(error, OutcomeError), repr(error)
    checks = json.loads(out)["checks"]
    found = {c["check"]: "; ".join(c["differences"]) for c in checks if c["outcome"] != "ok"}
    assert (error is None) == (not found)
    return found


def test_where_all_agree_it_says_so(settings: Settings, study: DirectoryStore) -> None:
    before = list(study.list(""))
    error, out = tell(settings, "--json", "--deep")
    assert error is None, error
    told = json.loads(out)
    assert (told["ok"], told["running"]) == (True, False)
    assert [(check["check"], check["outcome"]) for check in told["checks"]] == [
        (name, "ok")
        for name in (
            "trials", "results", "decisions", "shared", "files", "journal",
            "MLflow: study", "MLflow: trials", "MLflow: shared",
        )
    ]  # fmt: skip
    assert list(study.list("")) == before


def spoil_number(settings: Settings, store: DirectoryStore) -> None:
    store.delete(layout.trial("demo", "t00000", "spec.json"))


def spoil_attempt(settings: Settings, store: DirectoryStore) -> None:
    store.delete(layout.trial("demo", "t00000", "attempts", "a1.json"))


def spoil_decision(settings: Settings, store: DirectoryStore) -> None:
    store.delete(decision_key("demo", "t00001", 2))


def spoil_pretrain(settings: Settings, store: DirectoryStore) -> None:
    store.delete(layout.pretrain("ab" * 32, "manifest.json"))


def spoil_size(settings: Settings, store: DirectoryStore) -> None:
    path = Path(store.address) / layout.trial("demo", "t00000", "best", "config.json")
    path.write_bytes(path.read_bytes() + b" ")


def spoil_file(settings: Settings, store: DirectoryStore) -> None:
    store.delete(layout.trial("demo", "t00000", "best", "student.safetensors"))


def spoil_best(settings: Settings, store: DirectoryStore) -> None:
    store.delete(layout.trial("demo", "t00000", "best", "manifest.json"))


def spoil_journal(settings: Settings, store: DirectoryStore) -> None:
    journal = Journal(settings.study_journal, "demo", ["minimize"])
    other = make_trial(0, "failed")
    journal.agree([frozen_trial(sealed(other), other.result, objectives_of({}))])


def spoil_missing_journal(settings: Settings, store: DirectoryStore) -> None:
    forget_study(settings.study_journal, "demo")


def spoil_status(settings: Settings, store: DirectoryStore) -> None:
    client, run_id = _run_of(settings, "t00001")
    client.update_run(run_id, status="RUNNING")


def spoil_metric(settings: Settings, store: DirectoryStore) -> None:
    client, run_id = _run_of(settings, "t00001")
    client.log_metric(run_id, "val/cd_l1", 1.0, step=99)


def spoil_run(settings: Settings, store: DirectoryStore) -> None:
    client, run_id = _run_of(settings, "t00001")
    client.delete_run(run_id)


def spoil_twice(settings: Settings, store: DirectoryStore) -> None:
    client, run_id = _run_of(settings, "t00001")
    run = client.get_run(run_id)
    client.create_run(run.info.experiment_id, tags=run.data.tags)


def spoil_orphan(settings: Settings, store: DirectoryStore) -> None:
    client, run_id = _run_of(settings, "t00001")
    run = client.get_run(run_id)
    tags = run.data.tags | {"ss3d.trial": "demo/t00007"}
    client.create_run(run.info.experiment_id, tags=tags)


def spoil_shared_run(settings: Settings, store: DirectoryStore) -> None:
    (runs,) = list_runs(settings, STUDY_SPEC, "pretrain").values()
    MlflowClient(settings.tracking_uri).delete_run(runs[0].info.run_id)


def spoil_study_run(settings: Settings, store: DirectoryStore) -> None:
    (runs,) = list_runs(settings, STUDY_SPEC, "study").values()
    MlflowClient(settings.tracking_uri).update_run(runs[0].info.run_id, status="RUNNING")


def _run_of(settings: Settings, trial: str) -> tuple[MlflowClient, str]:
    runs = list_runs(settings, STUDY_SPEC, "trial")[f"demo/{trial}"]
    return MlflowClient(settings.tracking_uri), runs[0].info.run_id


@pytest.mark.parametrize(
    ("spoil", "check", "difference"),
    [
        (spoil_number, "trials", "t00000: there is none, but t00001 is"),
        (spoil_attempt, "results", "t00000: its result names attempt 1, which is not there"),
        (spoil_decision, "decisions", "t00001: pruned, but no decision is stored"),
        (spoil_pretrain, "shared", "t00000: its pretrained state abababab is not in the store"),
        (spoil_size, "files", "best/config.json: "),
        (spoil_file, "files", "best/student.safetensors: missing, its manifest says"),
        (spoil_best, "files", "t00000/best: a complete trial without its best weights"),
        (spoil_journal, "journal", "t00000: FAIL there, COMPLETE in the store; t00001: not in"),
        (spoil_missing_journal, "journal", "optuna.journal has no study demo"),
        (spoil_status, "MLflow: trials", "t00001: RUNNING there, pruned in the store"),
        (spoil_metric, "MLflow: trials", "t00001: val/cd_l1 1.0 there, 11.0 in the store"),
        (spoil_run, "MLflow: trials", "t00001: no runs"),
        (spoil_twice, "MLflow: trials", "t00001: 2 runs"),
        (spoil_orphan, "MLflow: trials", "demo/t00007: a run of a trial that the store does not"),
        (spoil_shared_run, "MLflow: shared", "pretrain abababab: no runs"),
        (spoil_study_run, "MLflow: study", "the study: RUNNING there, FINISHED by the store"),
    ],
)
def test_what_differs_is_found(
    spoil: Callable[[Settings, DirectoryStore], None],
    check: str,
    difference: str,
    settings: Settings,
    study: DirectoryStore,
) -> None:
    spoil(settings, study)
    found = differing(settings)
    assert difference in found[check]


def test_only_deep_reads_the_bytes(settings: Settings, study: DirectoryStore) -> None:
    key = layout.trial("demo", "t00000", "best", "student.safetensors")
    path = Path(study.address) / key
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert differing(settings) == {}
    assert "student.safetensors is damaged" in differing(settings, "--deep")["files"]


def test_a_final_epoch_without_a_result_needs_a_resume(
    settings: Settings, study: DirectoryStore
) -> None:
    study.delete(layout.trial("demo", "t00000", "result.json"))
    key = layout.trial("demo", "t00000", "epochs", "a1-000003.json")
    reports = [report.model_dump(mode="json") for report in TRIALS[0].reports]
    put_json(study, key, {"attempt": 1, "final": True, "reports": reports})
    assert (
        "t00000: its last epoch is in the store, its result is not"
        in (differing(settings)["results"])
    )


@pytest.mark.parametrize("is_remote", [True, False])
def test_when_mlflow_is_away_the_rest_is_said(
    is_remote: bool, settings: Settings, study: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_remote:
        monkeypatch.setenv("SS3D_TRACKING", "http://127.0.0.1:9")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    else:
        (settings.home / "mlflow.db").write_bytes(b"no database" * 1000)
    spoil_decision(settings, study)
    error, out = tell(settings, "--json")
    assert isinstance(error, ServiceError)
    outcomes = {check["check"]: check["outcome"] for check in json.loads(out)["checks"]}
    assert (outcomes["decisions"], outcomes["journal"], outcomes["MLflow"]) == (
        "differs", "ok", "away",
    )  # fmt: skip


@pytest.fixture
def driven(study: DirectoryStore) -> Iterator[DirectoryStore]:
    with take_lease(study, layout.study("demo", "driver.lease"), "study demo"):
        yield study


def test_of_a_study_that_runs_only_what_is_final_is_judged(
    settings: Settings, driven: DirectoryStore
) -> None:
    open_trial, fresh = make_trial(2), make_trial(3, "pruned", epochs=2)
    assert fresh.result is not None
    just_now = fresh.result.model_copy(update={"finished_at": time.time()})
    put_trial(driven, open_trial)
    put_trial(driven, fresh.model_copy(update={"result": just_now}))
    error, out = tell(settings, "--json")
    assert error is None, out
    assert json.loads(out)["running"]
    spoil_attempt(settings, driven)
    spoil_status(settings, driven)
    assert set(differing(settings)) == {"results", "MLflow: trials"}
    error, out = tell(settings)
    assert isinstance(error, OutcomeError)
    assert "differs" in out
    assert "only what is final was judged" in " ".join(out.split())
