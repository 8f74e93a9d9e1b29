"""The tracking server: MLflow with its auth app on PostgreSQL, artifacts on S3."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import signal
import sys
import urllib.error
import urllib.request
from typing import Any

from cluster.local import postgres, s3
from cluster.local.place import HOST, Place, write_private
from cluster.local.service import Launch
from ss3d.tracking.connection import ENVIRONMENT

ADMIN, USER = "admin", "ss3d"
_CACHE_S = 60
"""Seconds that a worker trusts a password it has checked; without it, each request is 20 times as
slow. A changed password is refused at once by one worker and within this time by others."""


class Mlflow:
    """MLflow's server, which alone holds the keys of its database and bucket."""

    name = "mlflow"
    num_ports = 1
    passwords = ("mlflow_admin", "mlflow_user", "mlflow_sessions")
    stop_signal = signal.SIGTERM

    def lacks(self) -> str:
        """Return what is missing to run it."""
        if importlib.util.find_spec("flask_wtf") is None:
            return "no module flask_wtf; pip install -c constraints.txt -e '.[dev]' brings it"
        return ""

    def launch(self, place: Place) -> Launch:
        """Return how to start it; passwords are in its environment and not in its command."""
        auth = {
            "database_uri": postgres.database_uri(place, "mlflow_auth"),
            "admin_username": ADMIN,
            "default_permission": "READ",
            "auth_cache_ttl_seconds": str(_CACHE_S),
            "authorization_function": "mlflow.server.auth:authenticate_request_basic_auth",
        }
        lines = "".join(f"{name} = {value}\n" for name, value in auth.items())
        write_private(place.of(self.name) / "auth.ini", f"[mlflow]\n{lines}")
        port = place.ports[self.name]
        options = {
            "--host": HOST,
            "--port": str(port),
            "--workers": "1",
            "--app-name": "basic-auth",
            "--allowed-hosts": f"{HOST}:{port},localhost:{port}",
            "--cors-allowed-origins": f"http://{HOST}:{port},http://localhost:{port}",
            "--uvicorn-opts": "--log-level warning",
        }
        words = (word for option in options.items() for word in option)
        return Launch([sys.executable, "-m", "mlflow", "server", *words], _environment(place))

    def is_ready(self, place: Place) -> bool:
        """Log in as the user, who is made if there is none."""
        try:
            if call(place, "health") is None:
                return False
            if not _can_log_in(place):
                login = {"username": USER, "password": place.passwords["mlflow_user"]}
                call(place, "api/2.0/mlflow/users/create", login, ADMIN)
            return _can_log_in(place)
        except (OSError, urllib.error.URLError):
            return False

    def exports(self, place: Place) -> dict[str, str]:
        """Return where the server is and how to log in; pickle and telemetry are off there too."""
        quiet = ("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK")
        return {
            **{name: ENVIRONMENT[name] for name in quiet},
            "SS3D_TRACKING": place.url(self.name),
            "MLFLOW_TRACKING_URI": place.url(self.name),
            "MLFLOW_TRACKING_USERNAME": USER,
            "MLFLOW_TRACKING_PASSWORD": place.passwords["mlflow_user"],
        }


def call(place: Place, path: str, body: dict[str, Any] | None = None, user: str = "") -> bytes:
    """Return the server's answer to a request, as one of the users or nobody."""
    headers = {"Content-Type": "application/json"}
    if user:
        password = place.passwords["mlflow_admin" if user == ADMIN else "mlflow_user"]
        login = base64.b64encode(f"{user}:{password}".encode()).decode()
        headers["Authorization"] = f"Basic {login}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{place.url('mlflow')}/{path}", data, headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.read()


def _can_log_in(place: Place) -> bool:
    try:
        call(place, "api/2.0/mlflow/experiments/get?experiment_id=0", user=USER)
    except urllib.error.HTTPError as error:
        if error.code != 401:
            raise
        return False
    return True


def _environment(place: Place) -> dict[str, str]:
    """Return the server's environment, without what who starts it would say to a client."""
    own = ("AWS_", "MLFLOW_", "SS3D_")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(own)},
        **ENVIRONMENT,
        "MLFLOW_BACKEND_STORE_URI": postgres.database_uri(place, "mlflow"),
        "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{s3.TRACKING_BUCKET}/artifacts",
        "MLFLOW_S3_ENDPOINT_URL": place.url("s3"),
        **s3.access(place.url("s3"), s3.TRACKING_BUCKET, place.passwords[s3.TRACKING_BUCKET]),
        "MLFLOW_AUTH_CONFIG_PATH": str(place.of("mlflow") / "auth.ini"),
        "MLFLOW_AUTH_ADMIN_PASSWORD": place.passwords["mlflow_admin"],
        "MLFLOW_FLASK_SERVER_SECRET_KEY": place.passwords["mlflow_sessions"],
    }
