"""Ray's Jobs API: a search whose driver runs on the cluster's head, with the code from here."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import shlex
import shutil
import socket
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import ss3d
from ss3d.errors import ConfigError, RefusedError, ServiceError
from ss3d.study.environment import TOKEN_ADVICE, check_closed, prepare_environment
from ss3d.study.expected import versions_to_expect

_CONNECT_S = 10.0
_PATIENCE_S = 120.0
"""For a job server that does not answer any more while its job is followed."""
_SILENCE_S = 300.0
"""Of a job until its output is asked for again."""
_POLL_S = 1.0
_SPACE, _VERSIONS = "space.toml", "versions.json"
_HOME = '"${SS3D_HOME:-$HOME/ss3d-data}"'
"""Of the driver: the folder that the code comes into goes away with the job."""
_SECRETS = "set -a; if [ -f ~/driver.env ]; then . ~/driver.env; fi; set +a"
"""What cluster/README.md puts on the head for drivers alone."""
_ALIVE = ("PENDING", "RUNNING")
_TALKERS = ("ray", "ray.dashboard.modules.dashboard_sdk", "ray.dashboard.modules.job.sdk")
"""Loggers of Ray that tell how code is packed and sent and connections are closed."""


class Outcome(NamedTuple):
    """How a job ended."""

    status: str
    exit_code: int | None
    """Of the driver; None or negative if it was killed."""
    message: str


class JobServer:
    """The job server of a cluster.

    Args:
        url: of the cluster's dashboard.
        home: folder of our own settings.

    Raises:
        ConfigError: it is no such address.
        RefusedError: there is no token for it, or not that of the cluster.
        ServiceError: it does not answer, or is no job server.
    """

    def __init__(self, url: str, home: Path) -> None:
        self.url = url
        host, port = _end(url)
        check_closed(url)
        prepare_environment(home, url)
        for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
            os.environ.pop(name, None)  # would go before the address that was asked for
        try:
            socket.create_connection((host, port), _CONNECT_S).close()
        except OSError as error:
            raise ServiceError(f"no job server answers at {url}: {error}") from error
        from ray.job_submission import JobSubmissionClient  # Ray reads the environment at import

        for name in _TALKERS:
            logging.getLogger(name).setLevel(logging.WARNING)
        with _asking(url):
            self._client = JobSubmissionClient(url)

    def find(self, study: str, store: str) -> str | None:
        """Return the job that runs a study, if there is one."""
        wanted = _metadata(study, store)
        with _asking(self.url):
            jobs: list[Any] = self._client.list_jobs()
        for job in jobs:
            if job.submission_id and job.status in _ALIVE and job.metadata == wanted:
                return job.submission_id
        return None

    def submit(self, study: str, store: str, options: Sequence[str], space: Path | None) -> str:
        """Send the code of ss3d, a search space and what to do with it; return the job's id.

        Nothing of this machine's environment is sent: secrets are those of the head's.

        Args:
            study: its name.
            store: address of its store.
            options: of `ss3d search`, but for the space.
            space: file of the search space, or None.
        """
        job = f"ss3d-{study}-{uuid.uuid4().hex[:8]}"
        with tempfile.TemporaryDirectory(prefix="ss3d-submit-") as folder:
            pack(Path(folder), space)
            with _asking(self.url):
                self._client.submit_job(
                    submission_id=job,
                    entrypoint=entrypoint(options, space is not None),
                    runtime_env={"working_dir": folder},
                    metadata=_metadata(study, store),
                )
        return job

    def follow(self, job: str, say: Callable[[str], None]) -> Outcome:
        """Pass on all that a job prints until it has ended.

        Args:
            job: its id.
            say: takes text as it comes.

        Raises:
            ServiceError: the job server does not answer any more.
        """
        told, failing_since = _Told(say), math.inf
        while True:
            try:
                with _asking(self.url):
                    asyncio.run(self._tail(job, told))
                    info: Any = self._client.get_job_info(job)
            except ServiceError:
                now = time.monotonic()
                failing_since = now if told.has_come else min(failing_since, now)
                if now - failing_since > _PATIENCE_S:
                    raise
            else:
                failing_since = math.inf
                if info.status not in _ALIVE:
                    return Outcome(str(info.status), info.driver_exit_code, info.message or "")
            time.sleep(_POLL_S)

    async def _tail(self, job: str, told: _Told) -> None:
        """Pass on what a job prints until it ends, or is silent for long."""
        told.rewind()
        clock = asyncio.get_running_loop().time
        with suppress(TimeoutError):  # a connection that died while this machine slept says nothing
            async with asyncio.timeout(_SILENCE_S) as limit:
                async for text in self._client.tail_job_logs(job):
                    told.take(text)
                    limit.reschedule(clock() + _SILENCE_S)


class _Told:
    """What of a job's output was passed on: after a broken connection it comes again."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._count = 0
        self._seen = 0

    def rewind(self) -> None:
        self._seen = 0

    @property
    def has_come(self) -> bool:
        """Whether anything came since the last `rewind`."""
        return self._seen > 0

    def take(self, text: str) -> None:
        new = text[max(0, self._count - self._seen) :]
        self._seen += len(text)
        self._count += len(new)
        if new:
            self._say(new)


def pack(folder: Path, space: Path | None) -> None:
    """Write what is sent: the modules of ss3d, the search space and the versions to expect."""
    code = Path(ss3d.__file__).parent
    for path in sorted(code.rglob("*.py")):
        target = folder / "ss3d" / path.relative_to(code)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    if space is not None:
        shutil.copyfile(space, folder / _SPACE)
    (folder / _VERSIONS).write_text(json.dumps(versions_to_expect()))


def entrypoint(options: Sequence[str], has_space: bool) -> str:
    """Return the shell's command of a job: the head's secrets, the check, then the search.

    The search works in its home: Ray may replace the folder of the code by an equal one.
    """
    space = f'"$code/{_SPACE}" ' if has_space else ""
    search = f"{space}{shlex.join([*options, '--address', 'auto', '--home', '.'])}"
    steps = (
        f"python -m ss3d.study.expected {_VERSIONS}",
        f'export PYTHONPATH="$PWD${{PYTHONPATH:+:$PYTHONPATH}}" code="$PWD" home={_HOME}',
        'mkdir -p "$home"',
        'cd "$home"',
        f"exec python -m ss3d search {search}",
    )
    return f"{_SECRETS}; {' && '.join(steps)}"


def _metadata(study: str, store: str) -> dict[str, str]:
    return {"ss3d.study": study, "ss3d.store": store}


def _end(url: str) -> tuple[str, int]:
    """Return host and port of an address.

    Raises:
        ConfigError: it is not http:// or https:// with both.
    """
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port or {"https": 443}.get(parts.scheme)
    except ValueError:
        host, port = None, None
    if parts.scheme not in ("http", "https") or not host or not port or "@" in parts.netloc:
        raise ConfigError(f"--submit: got {url!r}, expected http://HOST:8265, the head's dashboard")
    return host, port


@contextmanager
def _asking(url: str) -> Iterator[None]:
    """Say what a failure of the Jobs API means for us."""
    import aiohttp
    import requests
    from ray.exceptions import AuthenticationError

    try:
        yield
    except AuthenticationError as error:
        reason = str(error).splitlines()[0]
        raise RefusedError(f"{url}: {reason}; {TOKEN_ADVICE}") from error
    except aiohttp.WSServerHandshakeError as error:
        raise ServiceError(f"{url}: {error.message}") from error
    except (OSError, ValueError, RuntimeError, aiohttp.ClientError, requests.RequestException) as e:
        raise ServiceError(f"{url}: no answer of a job server: {e}") from e
