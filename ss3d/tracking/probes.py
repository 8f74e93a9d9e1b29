"""Asking a tracking server whether it answers, to this user, in a version that we speak."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

from ss3d.errors import RefusedError, ServiceError
from ss3d.settings import Settings
from ss3d.store.probes import Finding
from ss3d.tracking.connection import is_embedded, mlflow_errors, open_client

_SMALL = 5


def examine_tracking(settings: Settings) -> Iterator[Finding]:
    """Yield a finding per probe of the tracking server, none for an embedded one; writes nothing.

    None follows on one that says that the server is away or lets nobody in.
    """
    for name, ask, advice in () if is_embedded(settings) else _PROBES:
        try:
            finding = Finding(name, "ok", ask(settings), "")
        except ServiceError as error:
            finding = Finding(
                name, "away", str(error), "start it, or correct its address and the login"
            )
        except RefusedError as error:
            finding = Finding(name, "failed", str(error), advice)
        yield finding
        if finding.outcome == "away":
            return


def _login(settings: Settings) -> str:
    client = open_client(settings)
    seconds = []
    for _ in range(_SMALL):
        began = time.perf_counter()
        with mlflow_errors(settings):
            client.search_experiments(max_results=1)
        seconds.append(time.perf_counter() - began)
    return f"answers to this user: {statistics.median(seconds) * 1000:.0f} ms (median of {_SMALL})"


def _versions(settings: Settings) -> str:
    import mlflow
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    if not settings.tracking_uri.startswith("http"):
        return f"MLflow {mlflow.__version__} speaks to its database itself"
    with mlflow_errors(settings):
        answer = http_request(get_default_host_creds(settings.tracking_uri), "/version", "GET")
    there, here = answer.text.strip(), mlflow.__version__  # pyrefly: ignore[missing-attribute]
    if there.partition(".")[0] != here.partition(".")[0]:
        raise RefusedError(f"MLflow {there[:20]} there, {here} here")
    return f"MLflow {there} there, {here} here"


_PROBES: tuple[tuple[str, Callable[[Settings], str], str], ...] = (
    ("login", _login, ""),
    ("versions", _versions, "install the same major version of MLflow on both sides"),
)
