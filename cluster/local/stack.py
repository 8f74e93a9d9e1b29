"""All services of the stack, in the order in which they need each other."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from cluster.local.mlflow import Mlflow
from cluster.local.place import LOCK, Place, find_place, make_folder, open_place, write_private
from cluster.local.postgres import Postgres
from cluster.local.ray import Head, Node
from cluster.local.s3 import S3
from cluster.local.service import Service, find_members, is_running, start, stop
from ss3d.errors import ConfigError, RefusedError, ServiceError

SERVICES: tuple[Service, ...] = (S3(), Postgres(), Mlflow())
ENVIRONMENT_FILE = "env"


class Standing(NamedTuple):
    """How a service stands."""

    service: str
    state: str
    port: int
    processes: list[int]


def services_of(place: Place) -> tuple[Service, ...]:
    """Return the services of a stack: Ray's head and nodes come last, if it has any."""
    nodes = [Node(number) for number in range(1, place.nodes + 1)]
    return (*SERVICES, Head(), *nodes) if nodes else SERVICES


def up(
    folder: Path, first_port: int = 0, nodes: int | None = None, node_cpus: int | None = None
) -> Iterator[tuple[str, str]]:
    """Start what does not run, one service after the other; what runs stays as it is.

    Args:
        folder: of the stack; a new one gets ports and passwords of its own.
        first_port: of a new stack; 0 takes free ones.
        nodes: of the Ray cluster; None leaves what the stack has, and 0 ends it.
        node_cpus: that nodes which start now offer; None leaves what the stack has.

    Yields:
        A service and what is told of it: "starting", then how it went.

    Raises:
        ConfigError: the folder is of something else.
        ServiceError: a service lacks something, or does not start.
        RefusedError: somebody else starts or stops this stack, or a port is taken.
    """
    if lacking := "\n".join(f"{s.name}: {s.lacks()}" for s in SERVICES if s.lacks()):
        raise ServiceError(lacking)
    folder = make_folder(folder)
    with _alone(folder):
        known = find_place(folder) or Place(folder, {}, {})
        asked = known._replace(
            nodes=known.nodes if nodes is None else nodes,
            node_cpus=known.node_cpus if node_cpus is None else node_cpus,
        )
        services = services_of(asked)
        for service in reversed(services_of(known)[len(services) :]):
            stop(service, known)
            yield service.name, "stopped"
        place = open_place(asked, services, first_port)
        for service in services:
            yield service.name, "starting"
            began = time.monotonic()
            is_new = start(service, place)
            yield service.name, f"{time.monotonic() - began:.1f} s" if is_new else "runs already"
        write_private(place.folder / ENVIRONMENT_FILE, _exports(place))


def down(folder: Path) -> Iterator[tuple[str, int]]:
    """Stop all services, the last first; their data stays.

    Yields:
        A service and how many processes it had.

    Raises:
        ConfigError: the folder has no stack.
        RefusedError: somebody else starts or stops this stack.
    """
    place = _place(folder)
    with _alone(place.folder):
        for service in reversed(services_of(place)):
            yield service.name, stop(service, place)


def status(folder: Path) -> list[Standing]:
    """Return how each service stands: works, does not answer, or is stopped.

    Raises:
        ConfigError: the folder has no stack.
    """
    place = _place(folder)
    standings = []
    for service in services_of(place):
        state = "stopped"
        if is_running(service, place):
            state = "works" if service.is_ready(place) else "does not answer"
        processes = [process.pid for process in find_members(service, place)]
        standings.append(Standing(service.name, state, place.ports[service.name], processes))
    return standings


def _place(folder: Path) -> Place:
    place = find_place(folder)
    if place is None:
        raise ConfigError(f"{folder}: no stack was started there")
    return place


def _exports(place: Place) -> str:
    """Return the file to source: what the users of all services need."""
    values = {name: value for s in services_of(place) for name, value in s.exports(place).items()}
    lines = (f"export {name}={shlex.quote(value)}\n" for name, value in values.items())
    return f"# source this; it has passwords\n{''.join(lines)}"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    try:
        with FileLock(folder / LOCK, timeout=0):
            yield
    except Timeout as error:
        raise RefusedError(f"{folder}: is being started or stopped just now") from error
