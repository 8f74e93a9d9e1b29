"""A real S3 server for tests: SeaweedFS on loopback, one process per session, a prefix per test."""

import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from servers.afterwards import afterwards

from cluster.local.place import free_ports
from cluster.local.s3 import client, identity, lacks_weed, weed_command, weed_environment

ACCESS_KEY, SECRET_KEY = "ss3d-test", "ss3d-test-canary-secret"
ROTATED_KEY, ROTATED_SECRET = "ss3d-rotated", "ss3d-rotated-canary-secret"
READER_KEY, READER_SECRET = "ss3d-reader", "ss3d-reader-canary-secret"
_START_S = 90.0


class S3Server(NamedTuple):
    """Where the server is; its keys are above."""

    endpoint: str
    client: Any
    bucket: str
    process: subprocess.Popen[bytes]


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Start SeaweedFS on free ports of loopback; skip without it, fail without it in CI."""
    folder = tmp_path_factory.mktemp("seaweedfs")
    port = free_ports(4)
    process = _start(folder, port)
    with afterwards("kill", "-9", process.pid):
        endpoint = f"http://127.0.0.1:{port}"
        server = S3Server(
            endpoint,
            client(endpoint, ACCESS_KEY, SECRET_KEY),
            f"ss3d-{uuid.uuid4().hex[:12]}",
            process,
        )
        _wait(server, process, folder / "log")
        yield server
    process.wait()
    shutil.rmtree(folder / "data", ignore_errors=True)


@pytest.fixture
def s3_access(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> S3Server:
    """Give the test the server's address and keys in the environment, and no other credentials."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_server.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    return s3_server


@pytest.fixture
def s3_address(s3_access: S3Server) -> str:
    """Return the address of an empty store on the server."""
    return f"s3://{s3_access.bucket}/{uuid.uuid4().hex}/store"


@pytest.fixture(params=["directory", "s3"])
def each_address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the address of an empty store of each kind."""
    if request.param == "s3":
        return request.getfixturevalue("s3_address")
    return str(tmp_path / "store")


def _start(folder: Path, port: int) -> subprocess.Popen[bytes]:
    if lacking := lacks_weed():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(lacking)
    identities = [
        identity("admin", ACCESS_KEY, SECRET_KEY, "Admin"),
        identity("rotated", ROTATED_KEY, ROTATED_SECRET, "Admin"),
        identity("reader", READER_KEY, READER_SECRET, "Read", "List"),
    ]
    command = weed_command(folder, port, identities)
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, cwd=folder, env=weed_environment()
        )


def _wait(server: S3Server, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until an object that was written can be read."""
    deadline = time.monotonic() + _START_S
    while True:
        try:
            server.client.create_bucket(Bucket=server.bucket)
            server.client.put_object(Bucket=server.bucket, Key="ready", Body=b"yes")
            answer = server.client.get_object(Bucket=server.bucket, Key="ready")
            assert answer["Body"].read() == b"yes"
        except (BotoCoreError, ClientError):
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.2)
        else:
            return
