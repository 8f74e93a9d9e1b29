"""boto3 clients of a process: made where they are used, configured as S3 users expect.

Endpoint, region and credentials come from boto3's own chain: environment, profile, role. What
expires (roles, SSO, credential processes) is renewed by boto3.
"""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.config import Config

from ss3d.errors import ConfigError

_ATTEMPTS = 4
_CONNECT_S = 5.0
_READ_S = 15.0  # one lost answer must not outlast a lease
_CONNECTIONS = 16


class Client:
    """This process's client. Threads share it, which boto3 allows; a forked child makes its own."""

    def __init__(self) -> None:
        self._made: tuple[int, Any] | None = None

    def get(self) -> Any:
        """Return the client; two threads that ask first at the same moment may get two."""
        made = self._made
        if made is None or made[0] != os.getpid():
            self._made = made = (os.getpid(), new_client())
        return made[1]

    def forget(self) -> None:
        """Make a new client next time, from credentials that are read again."""
        self._made = None


def new_client() -> Any:
    """Return a new S3 client of a session of its own; path-style for endpoints other than AWS's.

    Raises:
        ConfigError: the endpoint is not an address, or carries credentials.
    """
    core = botocore.session.get_session()
    session = boto3.session.Session(botocore_session=core)
    try:
        client = session.client("s3", config=_config())
    except ValueError as error:
        raise ConfigError(
            "store: the S3 endpoint (AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL or endpoint_url of the "
            "profile) is not valid; expected http(s)://HOST:PORT"
        ) from error
    endpoint = urlsplit(client.meta.endpoint_url)
    if endpoint.username is not None:
        raise ConfigError(
            "store: the S3 endpoint has an '@': credentials do not go into an address; "
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile"
        )
    chosen = core.get_scoped_config().get("s3")
    if ".amazonaws." in str(endpoint.hostname) or (chosen and "addressing_style" in chosen):
        return client
    return session.client("s3", config=_config().merge(Config(s3={"addressing_style": "path"})))


def _config() -> Config:
    return Config(
        connect_timeout=_CONNECT_S,
        read_timeout=_READ_S,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        max_pool_connections=_CONNECTIONS,
        tcp_keepalive=True,
    )
