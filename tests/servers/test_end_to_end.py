"""A study's whole life with store, data and artifacts in S3 and runs in MLflow on PostgreSQL."""

import json
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from servers.local_stack import LocalStack
from tiny_space import base_table
from typer.testing import CliRunner

from cluster.local.s3 import STORE_BUCKET, TRACKING_BUCKET, client
from ss3d.cli.main import app

SPACE = f"""
[study]
name = "served"
{base_table((4, 1), (4, 2))}
[sampler]
name = "random"
[parameters."semi.lr"]
type = "categorical"
choices = [1e-4, 3e-4]
"""


@pytest.mark.cluster
@pytest.mark.slow
def test_a_study_lives_on_servers_alone(
    stack_access: LocalStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SS3D_HOME", str(tmp_path / "home"))
    data = f"s3://{STORE_BUCKET}/data"
    ss3d("data", "prepare", "procedural", data, "--models", 16, "--views", 1, "--size", 32)
    (tmp_path / "space.toml").write_text(SPACE)
    ss3d("search", tmp_path / "space.toml", "--data", data, "--trials", 2, "--slots", 1)
    assert ss3d("doctor", "served")["ok"]

    trials = ss3d("trials", "served")
    assert [trial["state"] for trial in trials] == ["complete", "complete"]
    promoted = ss3d("promote", "served", "--model", "chairs")
    best = min(trials, key=lambda trial: trial["values"]["val/cd_l1"])["trial"]
    assert (promoted["version"], promoted["trial"]) == (1, best)
    version = MlflowClient().get_model_version_by_alias("chairs", "champion")
    experiment = MlflowClient().get_run(version.run_id).info.experiment_id
    files = keys(stack_access, f"{experiment}/")
    assert f"{version.run_id}/artifacts/best/student.safetensors" in files
    assert ss3d("rerun", f"served/{best}", "--check")["verdict"] == "bitwise"

    stack_access.empty_tracking()
    synced = ss3d("sync", "served")
    assert (synced["trials"], synced["runs"], synced["problems"]) == (2, 4, {})
    assert ss3d("doctor", "served")["ok"]
    assert not (tmp_path / "home" / "store").exists()
    assert not (tmp_path / "home" / "mlflow.db").exists()


def ss3d(*words: object) -> Any:
    """Return what a command prints in JSON."""
    outcome = CliRunner().invoke(app, [*map(str, words), "--json"], catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    return json.loads(outcome.stdout)


def keys(stack: LocalStack, experiment: str) -> set[str]:
    """Return what MLflow keeps in its bucket of an experiment."""
    own = stack.place.passwords[TRACKING_BUCKET]
    s3 = client(stack.place.url("s3"), TRACKING_BUCKET, own)
    prefix = f"artifacts/{experiment}"
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=TRACKING_BUCKET, Prefix=prefix)
    return {entry["Key"].removeprefix(prefix) for page in pages for entry in page["Contents"]}
