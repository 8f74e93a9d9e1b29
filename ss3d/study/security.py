"""Which doors stand open: Ray's token, its dashboard, encryption, telemetry. Nothing is changed."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from ss3d.settings import Settings
from ss3d.store.probes import Finding
from ss3d.study.environment import (
    ENVIRONMENT,
    TOKEN_ADVICE,
    host_of,
    is_loopback,
    port_of,
    token_file,
    token_place,
    why_open,
)
from ss3d.tracking.connection import ENVIRONMENT as MLFLOW

_DASHBOARD_PORT = 8265
_TIMEOUT_S = 2.0
_TLS_FILES = ("RAY_TLS_SERVER_CERT", "RAY_TLS_SERVER_KEY", "RAY_TLS_CA_CERT")
_CLOSED = {
    "telemetry": {
        "RAY_USAGE_STATS_ENABLED": ENVIRONMENT["RAY_USAGE_STATS_ENABLED"],
        "MLFLOW_DISABLE_TELEMETRY": MLFLOW["MLFLOW_DISABLE_TELEMETRY"],
    },
    "foreign code": {
        name: MLFLOW[name]
        for name in ("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION")
    },
}
"""What must not be set otherwise; it is by default, in every process of ours."""


def examine_security(settings: Settings, environment: Mapping[str, str]) -> Iterator[Finding]:
    """Yield a finding per door.

    Args:
        settings: the addresses that are used.
        environment: of the process that would search.
    """
    yield _token(settings, environment)
    yield _token_file(settings, environment)
    if settings.ray_address:
        yield _dashboard(settings.ray_address, environment)
        yield _ray_tls(settings.ray_address, environment)
    for name, address in _servers(settings, environment).items():
        yield _server_tls(name, address)
    for name, values in _CLOSED.items():
        yield _closed(name, values, environment)


def _token(settings: Settings, environment: Mapping[str, str]) -> Finding:
    address = settings.ray_address
    mode = environment.get("RAY_AUTH_MODE", "token")
    if address and (reason := why_open(address, environment)):
        return Finding("ray token", "failed", f"{address}: {reason}", TOKEN_ADVICE)
    if mode.lower() == "token" and (not address or token_place(environment)):
        return Finding("ray token", "ok", "Ray answers only who knows its token", "")
    told = "without a token: all users of this machine can run code as you"
    return Finding("ray token", "failed", told, TOKEN_ADVICE if address else "unset RAY_AUTH_MODE")


def _token_file(settings: Settings, environment: Mapping[str, str]) -> Finding:
    place = token_place(environment)
    if not settings.ray_address and not environment.get("RAY_AUTH_TOKEN_PATH"):
        place = place if place == "RAY_AUTH_TOKEN" else str(token_file(settings.home))
    if place == "RAY_AUTH_TOKEN":
        return Finding("token file", "ok", "the token is in the environment, in no file", "")
    if not place or not Path(place).exists():
        if settings.ray_address or environment.get("RAY_AUTH_TOKEN_PATH"):
            return Finding("token file", "failed", "there is none", TOKEN_ADVICE)
        return Finding("token file", "ok", "the first search makes one, readable by you only", "")
    mode = stat.S_IMODE(Path(place).stat().st_mode)
    if os.name == "posix" and mode & 0o077:
        return Finding("token file", "failed", f"{place}: others may read it", f"chmod 600 {place}")
    return Finding("token file", "ok", f"{place}: nobody else may read it", "")


def _dashboard(address: str, environment: Mapping[str, str]) -> Finding:
    """Ask for the cluster's jobs without a token, as somebody else in the network would."""
    known = environment.get("RAY_ADDRESS", "auto") if address == "auto" else address
    host, port = socket.gethostname() if known == "auto" else host_of(known), _DASHBOARD_PORT
    if told := environment.get("RAY_API_SERVER_ADDRESS"):
        host, port = host_of(told), port_of(told) or port
    connection = HTTPConnection(host, port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/api/jobs/")
        status = connection.getresponse().status
    except (OSError, HTTPException):
        return Finding("dashboard", "ok", f"no answer at {host}:{port}", "")
    finally:
        connection.close()
    if status >= 400:
        return Finding("dashboard", "ok", f"{host}:{port} wants a token ({status})", "")
    return Finding(
        "dashboard",
        "failed",
        f"{host}:{port} answers who has no token ({status})",
        "start Ray with RAY_AUTH_MODE=token and --dashboard-host=127.0.0.1 on all nodes",
    )


def _ray_tls(address: str, environment: Mapping[str, str]) -> Finding:
    if is_loopback(address, environment):
        return Finding("ray tls", "ok", f"{address} is on this machine", "")
    if environment.get("RAY_USE_TLS", "0").lower() not in ("1", "true"):
        return Finding(
            "ray tls",
            "warn",
            "token and data travel in clear text between nodes",
            f"closed network, or RAY_USE_TLS=1 with {', '.join(_TLS_FILES)} on all nodes",
        )
    lacking = [name for name in _TLS_FILES if not Path(environment.get(name, "")).is_file()]
    if lacking:
        told = f"RAY_USE_TLS is on, but no file is at {', '.join(lacking)}"
        return Finding("ray tls", "failed", told, "set them to certificate, key and authority")
    return Finding("ray tls", "ok", "nodes talk encrypted and know each other by certificate", "")


def _servers(settings: Settings, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the servers that are sent passwords or signatures."""
    endpoint = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL", "")
    is_s3 = settings.store_address.startswith("s3://")
    found = {"s3 tls": endpoint if is_s3 else "", "mlflow tls": settings.tracking_uri}
    return {name: address for name, address in found.items() if address.startswith("http")}


def _server_tls(name: str, address: str) -> Finding:
    host = host_of(address)
    if address.startswith("https://"):
        return Finding(name, "ok", f"{host} is reached by https://", "")
    if is_loopback(address, {}):
        return Finding(name, "ok", f"{host} is on this machine", "")
    advice = f"use https://, or a tunnel: ssh -L PORT:{host}:PORT"
    return Finding(name, "warn", f"passwords and data travel in clear text to {host}", advice)


def _closed(name: str, values: Mapping[str, str], environment: Mapping[str, str]) -> Finding:
    wrong = [key for key, value in values.items() if environment.get(key, value) != value]
    if wrong:
        told = ", ".join(f"{key}={environment[key]}" for key in wrong)
        return Finding(name, "failed", told, f"unset {' '.join(wrong)}")
    return Finding(name, "ok", "off", "")
