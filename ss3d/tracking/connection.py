"""The way to MLflow: its environment, a client bound to one address, its errors as ours."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ss3d.errors import ServiceError
from ss3d.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_UV_AUTO_DETECT": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "GIT_PYTHON_REFRESH": "quiet",
}
"""What MLflow must find in the environment; what the user has set stays."""

_USER = re.compile(r"(?<=://)[^/\s]*@")

_QUIET = {
    "alembic": logging.WARNING,
    "mlflow.store.db.utils": logging.CRITICAL,
    "urllib3.connectionpool": logging.ERROR,
}
"""Loggers that tell of every migration, of every retry, or with a traceback of what is raised."""


_REFUSALS = {
    401: "it does not know this user and password; set MLFLOW_TRACKING_USERNAME and "
    "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN",
    403: "it does not allow this; its administrator gives permissions",
}
"""What the answers of a server that asks for a password mean."""


def prepare_environment() -> None:
    """Turn off telemetry, pickle, jobs and long retries before MLflow is imported."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for logger, level in _QUIET.items():
        logging.getLogger(logger).setLevel(level)


def open_client(settings: Settings) -> MlflowClient:
    """Return a client of the study's tracking store; creates the embedded database if needed.

    Raises:
        ServiceError: the tracking store does not answer.
    """
    prepare_environment()
    from mlflow import MlflowClient

    make_database_folder(settings)
    with mlflow_errors(settings):
        return MlflowClient(settings.tracking_uri, settings.tracking_uri)


def make_database_folder(settings: Settings) -> None:
    """Make the folder that an SQLite tracking database lies in.

    Raises:
        ServiceError: the folder cannot be made.
    """
    if is_embedded(settings):
        folder = Path(urlsplit(settings.tracking_uri).path.removeprefix("/")).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ServiceError(f"tracking: cannot make {folder}: {error.strerror}") from error


def is_embedded(settings: Settings) -> bool:
    """Return whether tracking is an SQLite file and not a server."""
    return settings.tracking_uri.startswith("sqlite:///")


@contextmanager
def mlflow_errors(settings: Settings) -> Iterator[None]:
    """Turn what MLflow, its database and network raise into a ServiceError with the address."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        reason = _reason(error) if isinstance(error, MlflowException) else _first_line(error)
        has_password = shown_address(settings) != settings.tracking_uri
        # MLflow's own message repeats the address
        cause = None if has_password else error
        raise ServiceError(f"MLflow at {shown_address(settings)}: {reason}") from cause


def shown_address(settings: Settings) -> str:
    """Return the tracking address without user and password."""
    return without_password(settings.tracking_uri)


def without_password(text: str) -> str:
    """Return a text with its addresses without users and passwords."""
    return _USER.sub("", text)


def _reason(error: MlflowException) -> str:
    """Return why MLflow did not do what was asked, in one line."""
    from urllib3.exceptions import MaxRetryError

    if refusal := _REFUSALS.get(error.get_http_status_code()):
        return refusal
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, MaxRetryError):
        cause = cause.__cause__ or cause.__context__
    if cause is None:
        return _first_line(error)
    met = cause.reason or cause
    return f"it does not answer: {_first_line(met.__cause__ or met)}"


def _first_line(error: BaseException) -> str:
    return without_password(next(iter(str(error).strip().splitlines()), type(error).__name__))
