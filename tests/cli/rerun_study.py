"""A study of one trial as workers and driver leave it in a store, made without Ray."""

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from ss3d.cli.main import app
from ss3d.config import TrialConfig, canonical_json
from ss3d.data.dataset import open_dataset
from ss3d.store import layout
from ss3d.store.opening import open_store
from ss3d.study.attempt import run_job
from ss3d.study.job import Job, Place
from ss3d.study.worker import Worker
from ss3d.trial.records import TrialResult, TrialSpec
from ss3d.trial.spec import code_version, pretrain_key, versions

TRIAL = "demo/t00000"
EPOCHS = 4


def make_study(store: str, data: str, home: Path, config: TrialConfig) -> None:
    """Pretrain, train and commit `demo/t00000`, of `EPOCHS` teacher-student epochs."""
    config = config.override({"semi.steps": EPOCHS, "semi.epochs": EPOCHS})
    data_hash = open_dataset(open_store(data)).manifest.content_hash
    key = pretrain_key(config, data_hash)
    spec = TrialSpec(
        study="demo",
        trial="t00000",
        params={"semi.lr": config.semi.lr},
        distributions={},
        stratum={},
        config=config,
        pretrain_key=key,
        code_version=code_version(),
        data_hash=data_hash,
        versions=versions(),
        attrs={},
        proposed_at=0.0,
    )
    study = {
        "schema": 1,
        "name": "demo",
        "objective": {"metric": "val/cd_l1", "direction": "minimize"},
        "data": {"name": "quick", "address": data, "content_hash": data_hash},
        "budget": {"trials": 1},
        "created_at": 0.0,
    }
    worker = Worker(Place("demo", store, data, str(home / "cache"), gpus=0))
    worker.store.put_new(layout.study("demo", "study.json"), canonical_json(study).encode())
    worker.store.put_new(layout.trial("demo", "t00000", "spec.json"), spec.to_json())
    *_, pretrained = run_job(worker, Job("pretrain", "t00000", key))
    told = list(run_job(worker, Job("trial", "t00000", key)))
    worker.uploader.close(10)
    assert (pretrained.failure, told[-1].failure) == ("", "")
    reports = tuple(report for progress in told for report in progress.reports)
    result = TrialResult(
        study="demo",
        trial="t00000",
        state="complete",
        values={"val/cd_l1": reports[-1].metrics["val/cd_l1"]},
        reports=reports,
        seconds=sum(report.system["epoch_s"] for report in reports),
        attempt=1,
        reason="",
        finished_at=worker.store.now(),
    )
    worker.store.put_new(layout.trial("demo", "t00000", "result.json"), result.to_json())


def invoke(*words: object) -> Result:
    """Run a command of `ss3d` and return what it printed; its errors are raised."""
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


def ss3d(*words: object) -> str:
    """Run a command that must succeed and return what it printed."""
    result = invoke(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


def rerun(*words: object) -> Any:
    """Run `ss3d rerun demo/t00000` and return its JSON document."""
    return json.loads(ss3d("rerun", TRIAL, *words, "--json"))
