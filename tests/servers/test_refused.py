"""Every door of the stack: who does not know a password gets nothing, whoever asks for a host."""

import http.client
import json
import os
import pickle
import stat
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import boto3
import psutil
import psycopg2
import pytest
from botocore import UNSIGNED
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import ClientError
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import load_model
from servers.local_stack import LocalStack

import ss3d
from cluster.local.mlflow import Mlflow
from cluster.local.place import HOST
from cluster.local.postgres import DATABASES
from cluster.local.s3 import REGION, STORE_BUCKET, TRACKING_BUCKET, client
from cluster.local.service import find_members
from cluster.local.stack import SERVICES
from ss3d.errors import CheckpointError
from ss3d.tracking.connection import ENVIRONMENT

EXPERIMENT = "/api/2.0/mlflow/experiments/get?experiment_id=0"
OPEN = {"/health", "/api/3.0/mlflow/server-info", "/ajax-api/3.0/mlflow/server-info"}
"""What MLflow answers to anybody: that it lives, and which kind of store it has."""


def codes(
    stack: LocalStack, doors: Iterable[tuple[str, str]], login: str = "", host: str = ""
) -> dict[tuple[str, str], int]:
    """Return the status with which MLflow answers each request, as USER:PASSWORD or nobody."""
    headers = {"Content-Type": "application/json"} | ({"Host": host} if host else {})
    if login:
        headers["Authorization"] = f"Basic {b64encode(login.encode()).decode()}"
    opened = http.client.HTTPConnection(HOST, stack.place.ports["mlflow"], timeout=20)
    found = {}
    for method, path in doors:
        opened.request(method, path, None if method == "GET" else b"{}", headers)
        answer = opened.getresponse()
        answer.read()
        found[method, path] = answer.status
    opened.close()
    return found


def every_door() -> list[tuple[str, str]]:
    """Return all routes of the MLflow that is installed, the ones of its FastAPI and of Flask."""
    script = Path(__file__).with_name("mlflow_doors.py")
    command = [sys.executable, "-W", "ignore", script]
    environment = {**os.environ, **ENVIRONMENT}
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return [tuple(door) for door in json.loads(printed.stdout)]


@pytest.mark.slow
def test_mlflow_answers_nobody_at_no_door(local_stack: LocalStack) -> None:
    doors = every_door()
    assert len(doors) > 300
    found = codes(local_stack, doors)
    opened = {path for (_, path), status in found.items() if status != 401}
    assert opened - {"/static-files/1"} == OPEN


@pytest.mark.parametrize(
    "login", ["ss3d:wrong", "ss3d:", "admin:password1234", "admin:password", "admin:admin"]
)
def test_mlflow_refuses_wrong_and_default_passwords(local_stack: LocalStack, login: str) -> None:
    doors = [("GET", EXPERIMENT), ("GET", "/api/2.0/mlflow-artifacts/artifacts?path=0")]
    assert codes(local_stack, doors, login) == dict.fromkeys(doors, 401)


def test_mlflow_refuses_another_host_and_the_work_of_an_administrator(
    local_stack: LocalStack,
) -> None:
    login = f"ss3d:{local_stack.place.passwords['mlflow_user']}"
    door, users = ("GET", EXPERIMENT), ("POST", "/api/2.0/mlflow/users/create")
    assert codes(local_stack, [door], login)[door] == 200
    assert codes(local_stack, [door], login, host="evil.example")[door] == 403
    assert codes(local_stack, [users], login)[users] == 403


@pytest.mark.parametrize(
    "key", ["", STORE_BUCKET, "nobody", "admin", "minioadmin", TRACKING_BUCKET]
)
def test_s3_gives_a_bucket_to_its_own_key_only(local_stack: LocalStack, key: str) -> None:
    own = local_stack.place.passwords if key == TRACKING_BUCKET else {}  # another bucket's
    s3 = client(local_stack.place.url("s3"), key or "none", own.get(key, key or "none"))
    if not key:
        s3 = anonymous(s3)
    assert refusals(s3, STORE_BUCKET) == {403}


def anonymous(s3: BaseClient) -> Any:
    unsigned = Config(signature_version=UNSIGNED)
    return boto3.client(
        "s3", endpoint_url=s3.meta.endpoint_url, region_name=REGION, config=unsigned
    )


def refusals(s3: Any, bucket: str) -> set[int]:
    """Return the statuses with which everything that one may want of a bucket is refused."""
    place = {"Bucket": bucket, "Key": "ready"}
    wanted = [
        lambda: s3.list_objects_v2(Bucket=bucket),
        lambda: s3.get_object(**place),
        lambda: s3.put_object(**place, Body=b"no"),
        lambda: s3.delete_object(**place),
        lambda: s3.create_multipart_upload(**place),
    ]
    found = set()
    for want in wanted:
        with pytest.raises(ClientError) as caught:
            want()
        found.add(caught.value.response["ResponseMetadata"]["HTTPStatusCode"])
    return found


@pytest.mark.parametrize("user", ["mlflow", "postgres", "nobody"])
@pytest.mark.parametrize("password", ["", "wrong", "postgres"])
def test_postgres_lets_nobody_in_without_the_password(
    local_stack: LocalStack, user: str, password: str
) -> None:
    port = local_stack.place.ports["postgres"]
    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(
            host=HOST, port=port, dbname=DATABASES[0], user=user, password=password or None
        )


def test_a_pickle_in_the_registry_is_never_loaded(stack_access: LocalStack, tmp_path: Path) -> None:
    canary, model = tmp_path / "canary", tmp_path / "model"
    model.mkdir()
    (model / "python_model.pkl").write_bytes(pickle.dumps(Touching(canary)))
    (model / "MLmodel").write_text(PICKLED)
    mlflow = MlflowClient()
    run = mlflow.create_run(mlflow.create_experiment("trap")).info.run_id
    mlflow.log_artifacts(run, str(model), "model")
    mlflow.create_registered_model("trap")
    mlflow.create_model_version("trap", mlflow.get_run(run).info.artifact_uri + "/model", run)
    with pytest.raises(MlflowException, match="using pickle is disallowed"):
        load_model("models:/trap/1")
    with pytest.raises(CheckpointError, match="not a model that `ss3d promote` registered"):
        ss3d.load_model("models:/trap/1")
    assert not canary.exists()


class Touching:
    """Something whose unpickling leaves a trace."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.canary),))


PICKLED = """
flavors:
  python_function:
    loader_module: mlflow.pyfunc.model
    python_model: python_model.pkl
    python_version: 3.11.0
    cloudpickle_version: 3.1.0
"""


def test_all_listen_on_loopback_keep_passwords_and_run_no_jobs(local_stack: LocalStack) -> None:
    place = local_stack.place
    members = [member for service in SERVICES for member in find_members(service, place)]
    listening = [
        connection.laddr
        for member in members
        for connection in member.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert {address.port for address in listening} >= set(place.ports.values())
    assert {address.ip for address in listening} == {HOST}
    commands = " ".join(word for member in members for word in member.cmdline())
    assert not [name for name, secret in place.passwords.items() if secret in commands]
    (mlflow, *_) = find_members(Mlflow(), place)
    assert mlflow.environ()["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    for path in (place.folder / "env", place.folder / "stack.json", place.of("s3") / "keys.json"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
