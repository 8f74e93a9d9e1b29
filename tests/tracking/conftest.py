import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tracking_records import STUDY_SPEC, write_best

from ss3d.settings import Settings
from ss3d.store import layout
from ss3d.store.bundle import put_bundle
from ss3d.store.directory import DirectoryStore
from ss3d.trial.records import TrialRecord


@pytest.fixture
def settings(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """An empty tracking store, embedded or (ON_EACH_TRACKING) a server; the store is a folder."""
    home = tmp_path / "home"
    home.mkdir()
    if getattr(request, "param", "embedded") == "server":
        stack = request.getfixturevalue("stack_access")
        monkeypatch.delenv("SS3D_STORE")
        return Settings(home=home, tracking=stack.environment["SS3D_TRACKING"])
    shutil.copyfile(request.getfixturevalue("migrated_database"), home / "mlflow.db")
    return Settings(home=home)


@pytest.fixture
def store(settings: Settings) -> DirectoryStore:
    return DirectoryStore(Path(settings.store_address))


@pytest.fixture
def put_trial(store: DirectoryStore, tmp_path: Path) -> Callable[..., None]:
    """Write a trial into the store as the driver would, with best weights if it is complete."""

    def put(record: TrialRecord, cd_l1: float = 10.5) -> None:
        spec = record.spec
        if store.get(layout.study("demo", "study.json")) is None:
            store.put_new(layout.study("demo", "study.json"), json.dumps(STUDY_SPEC).encode())
        store.put_new(layout.trial("demo", spec.trial, "spec.json"), spec.to_json())
        if record.state == "complete":
            best = tmp_path / f"best-{spec.trial}"
            write_best(best, spec.config, layout.trial_number(spec.trial), cd_l1)
            put_bundle(store, layout.trial("demo", spec.trial, "best"), best)
        if record.result is not None:
            store.put_new(layout.trial("demo", spec.trial, "result.json"), record.result.to_json())

    return put
