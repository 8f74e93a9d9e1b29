"""MLflow's own pages on the study's tracking store, on this machine only."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ss3d.errors import ConfigError, RefusedError, ServiceError
from ss3d.settings import Settings
from ss3d.tracking.connection import (
    ENVIRONMENT,
    is_embedded,
    make_database_folder,
    mlflow_errors,
    open_client,
    shown_address,
)
from ss3d.tracking.naming import experiment_name, view_key

HOST = "127.0.0.1"
_START_S = 120.0
_STOP_S = 10.0
LOG = "mlflow-server.log"
"""File of the home folder that holds what the server itself says, since its last start."""


@contextlib.contextmanager
def serve_pages(settings: Settings, port: int) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run an MLflow server on the embedded tracking store until the block ends.

    A search may go on writing meanwhile. Telemetry, job execution and pickle are off.

    Args:
        settings: where the tracking store is.
        port: on the loopback interface; 0 takes a free one.

    Yields:
        The address once it answers, and the process.

    Raises:
        ConfigError: tracking is a server already.
        RefusedError: the port is taken.
        ServiceError: the server does not start.
    """
    if not is_embedded(settings):
        address = shown_address(settings)
        raise ConfigError(f"ui: {address} is a server already; open it in a browser")
    make_database_folder(settings)
    port = _bindable(port)
    environment = {**ENVIRONMENT, **os.environ}
    command = _command(settings, port)
    settings.home.mkdir(parents=True, exist_ok=True)
    with (
        (settings.home / LOG).open("wb") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log) as process,
    ):
        try:
            address = f"http://{HOST}:{port}"
            _wait_until_healthy(address, process, settings.home / LOG)
            yield address, process
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()


def page_of(settings: Settings, address: str, spec: Mapping[str, Any]) -> str:
    """Return the page with a study's trials, the best first; the start page before there is any.

    Raises:
        ServiceError: MLflow does not answer.
    """
    client = open_client(settings)
    with mlflow_errors(settings):
        found = client.get_experiment_by_name(experiment_name(spec))
    if found is None:
        return address
    query = f"workflowType=machine_learning&viewStateShareKey={view_key(spec['name'])}"
    return f"{address}/#/experiments/{found.experiment_id}/runs?{query}"


def _command(settings: Settings, port: int) -> list[str]:
    names = ",".join(f"{host}:{port}" for host in (HOST, "localhost"))
    options = {
        "--backend-store-uri": settings.tracking_uri,
        "--artifacts-destination": settings.artifact_root,
        "--host": HOST,
        "--port": str(port),
        "--workers": "1",
        "--allowed-hosts": names,
        "--cors-allowed-origins": f"http://{HOST}:{port}",
        "--uvicorn-opts": "--log-level warning",
    }
    return [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        *(x for item in options.items() for x in item),
    ]


def _wait_until_healthy(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ServiceError(
                f"MLflow's server at {address} ended with code {process.returncode}; {log} says why"
            )
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise ServiceError(
        f"MLflow's server at {address} did not answer within {_START_S:.0f} s; see {log}"
    )


def _bindable(port: int) -> int:
    """Return the port, or a free one for 0; whoever had it would answer in our server's place."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server will
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise RefusedError(
                f"{HOST}:{port}: {error.strerror}; choose another by --port, 0 takes a free one"
            ) from error
        return int(probe.getsockname()[1])
