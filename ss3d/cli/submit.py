"""`ss3d search --submit`: the driver runs in the cluster, its output comes here."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from ss3d.cli.output import console, emit, errors
from ss3d.errors import ConfigError, RefusedError, ServiceError
from ss3d.settings import Settings
from ss3d.store import layout

if TYPE_CHECKING:
    from ss3d.study.definition import Request
    from ss3d.study.job_server import JobServer, Outcome

_INTERRUPTED = 130
_OPEN = "note: the token and the code travel unencrypted; a tunnel to http://127.0.0.1 hides them"


def submit_search(
    request: Request, settings: Settings, url: str, is_shared: bool, metrics: str | None
) -> tuple[str, str, Outcome]:
    """Send a search to a cluster, or find the job that runs it, and follow it to its end.

    Args:
        request: what to search.
        settings: where the store is, for this machine and for the cluster.
        url: of the cluster's dashboard.
        is_shared: whether directories are the same on all of its nodes.
        metrics: passed on to the driver.

    Returns:
        The study, the job and how it ended.

    Raises:
        ConfigError: the request or the address is not valid, or the cluster cannot see a directory.
        RefusedError: there is no token for the cluster, or the study runs already.
        ServiceError: the job server does not answer, or the job was killed.
        KeyboardInterrupt: the user wants to see no more; the study goes on.
    """
    study = _name_of(request)
    store = _as_seen_there("--store", settings.store_address, is_shared)
    if request.data:
        request = replace(request, data=_as_seen_there("--data", request.data, is_shared))
    from ss3d.study.environment import is_loopback
    from ss3d.study.job_server import JobServer

    if url.startswith("http://") and not is_loopback(url, {}):
        errors.print(Text(_OPEN, style="yellow"))
    server = JobServer(url, settings.home)
    job = server.find(study, store)
    if job and not request.resume:
        raise RefusedError(f"study {study} runs already as {job}; --resume follows it")
    if job:
        errors.print(f"study {study} runs as {job}; following it, with what it was sent with")
    else:
        options = list(_options(request, study, store, metrics))
        job = server.submit(study, store, options, request.space)
        errors.print(f"study {study} was sent to {url} as {job}")
    return study, job, _follow(server, study, job)


def say_outcome(study: str, job: str, outcome: Outcome, as_json: bool) -> None:
    """Print how a job ended, and end with its exit code.

    Raises:
        ServiceError: it was killed.
    """
    code = outcome.exit_code
    if outcome.status == "STOPPED":
        code = _INTERRUPTED
    value = {"study": study, "job": job, "status": outcome.status, "exit_code": code}
    told = "interrupted" if code == _INTERRUPTED else outcome.status.lower()
    emit(value, as_json, lambda: console.print(f"{job}: {told}"))
    if code is None or code < 0:
        raise ServiceError(
            f"{job} was lost: {outcome.message}; --resume goes on with study {study}"
        )
    if code:
        raise typer.Exit(code)


def _follow(server: JobServer, study: str, job: str) -> Outcome:
    def say(text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()

    try:
        return server.follow(job, say)
    except (KeyboardInterrupt, ServiceError):
        for line in (
            f"detached from {job}; study {study} goes on",
            f"look: ss3d logs {study} --follow · ss3d status {study}",
            f"follow again: ss3d search --name {study} --resume --submit {server.url}",
            f"stop: ss3d stop {study}",
        ):
            errors.print(line, soft_wrap=True, highlight=False)
        raise


def _name_of(request: Request) -> str:
    from ss3d.study.space import load_space

    space = load_space(request.space, request.seed) if request.space else None
    if not request.resume and (space is None or request.data is None):
        raise ConfigError("search: a new study needs SPACE and --data")
    name = request.name or (space.name if space else None)
    if name is None:
        raise ConfigError("search --resume: say which study by --name or SPACE")
    return layout.check_study_name(name)


def _as_seen_there(option: str, address: str, is_shared: bool) -> str:
    """Return an address as the cluster knows it."""
    is_url = "://" in address
    if not is_shared and (not is_url or address.startswith("file:")):
        raise ConfigError(
            f"{option}: {address} is a directory of this machine; the cluster needs s3://…, or "
            "--shared if it is the same directory on all nodes"
        )
    return address if is_url else str(Path(address).resolve())


def _options(request: Request, study: str, store: str, metrics: str | None) -> Iterator[str]:
    """Yield the options of `ss3d search` in the cluster."""
    values = {
        "--store": store,
        "--name": study,
        "--data": request.data,
        "--trials": request.trials,
        "--seed": request.seed,
        "--slots": request.slots,
        "--metrics": metrics,
    }
    for name, value in values.items():
        if value is not None:
            yield from (name, str(value))
    for earlier in request.warm_from:
        yield from ("--warm-from", earlier)
    if request.resume:
        yield "--resume"
