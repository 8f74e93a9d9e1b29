"""What a stack keeps in its folder: its ports and passwords, readable by its owner only."""

from __future__ import annotations

import json
import os
import random
import secrets
import socket
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ss3d.errors import ConfigError, RefusedError, ServiceError

if TYPE_CHECKING:
    from cluster.local.service import Service

HOST = "127.0.0.1"
GRPC = 10000
"""SeaweedFS listens on each of its ports and as much higher: both are kept free."""
LOCK = "lock"
_RECORD = "stack.json"


class Place(NamedTuple):
    """A stack's folder with the first port and the passwords of each service."""

    folder: Path
    ports: Mapping[str, int]
    passwords: Mapping[str, str]
    nodes: int = 0
    """Nodes of the Ray cluster, which there is none of without."""
    node_cpus: int = 1
    """CPUs that each of them offers, whatever the machine has."""

    def of(self, service: str) -> Path:
        """Return the folder of a service, which only its processes work in."""
        return self.folder / service

    def url(self, service: str) -> str:
        """Return the address of a service that speaks HTTP."""
        return f"http://{HOST}:{self.ports[service]}"


def make_folder(folder: Path) -> Path:
    """Return the folder of a stack, made if there is none.

    Raises:
        ConfigError: it is of something else.
        ServiceError: it cannot be made.
    """
    folder = folder.resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        found = {path.name for path in folder.iterdir()}
        if found - {LOCK} and _RECORD not in found:
            raise ConfigError(f"{folder}: not empty, and not of a stack; name a new folder")
        # As root PostgreSQL runs as another user, who must get through to its own folder.
        folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
    except OSError as error:
        raise ServiceError(f"{folder}: {error.strerror}") from error
    return folder


def open_place(place: Place, services: Sequence[Service], first_port: int = 0) -> Place:
    """Return a stack's place, completed and written to its folder.

    Args:
        place: what is known of it.
        services: of the stack.
        first_port: of those that have no ports yet, after the stack's others; 0 takes free ones.

    Raises:
        RefusedError: one of these ports is taken.
    """
    names = [name for service in services for name in service.passwords]
    passwords = {name: place.passwords.get(name) or secrets.token_hex(20) for name in names}
    ports = _with_ports(place.ports, services, first_port)
    place = place._replace(ports=ports, passwords=passwords)
    write_private(place.folder / _RECORD, json.dumps(place._asdict(), default=str, indent=2))
    write_private(place.folder / ".gitignore", "*\n")  # passwords and data are not for a repository
    return place


def find_place(folder: Path) -> Place | None:
    """Return what the folder says of its stack, or None if there is none."""
    try:
        record = json.loads((folder / _RECORD).read_text())
    except FileNotFoundError:
        return None
    return Place(**record | {"folder": folder.resolve()})


def write_private(path: Path, text: str) -> None:
    """Replace a file by one that only its owner can read, at once."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    new.replace(path)


def free_ports(count: int) -> int:
    """Return the first of some ports in a row that are free, also GRPC higher."""
    while True:
        first = random.SystemRandom().randrange(20000, 30000)
        if all(_is_free(port + up) for port in range(first, first + count) for up in (0, GRPC)):
            return first


def check_free(first: int, count: int, advice: str) -> None:
    """Check that nobody listens on some ports in a row.

    Raises:
        RefusedError: somebody does.
    """
    for port in range(first, first + count):
        if not _is_free(port):
            raise RefusedError(f"port {port} is taken by another program; {advice}")


def _with_ports(
    known: Mapping[str, int], services: Iterable[Service], first: int
) -> dict[str, int]:
    ports = dict(known)
    new = [service for service in services if service.name not in ports]
    count = sum(service.num_ports for service in new)
    if first:
        old = [ports[one.name] + one.num_ports for one in services if one.name in ports]
        first = max([first, *old])
        check_free(first, count, "take another --port, or none")
    elif new:
        first = free_ports(count)
    for service in new:
        ports[service.name] = first
        first += service.num_ports
    return ports


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # past connections take none
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True
