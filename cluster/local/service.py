"""What a service of the stack must tell, and the processes that run it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import psutil

from cluster.local.place import Place, check_free
from ss3d.errors import ServiceError

_START_S = 180.0
_STOP_S = 20.0
_SHOWN = 3000


class Launch(NamedTuple):
    """How to start the processes of a service."""

    command: Sequence[str | Path]
    environment: Mapping[str, str]
    user: str | None = None
    """Whom they run as, if not as who starts them."""


class Service(Protocol):
    """One server of the stack; it lives in a folder of its own below the stack's."""

    @property
    def name(self) -> str:
        """Return its name, which is that of its folder too."""
        ...

    @property
    def num_ports(self) -> int:
        """Return how many ports in a row it needs."""
        ...

    @property
    def passwords(self) -> Sequence[str]:
        """Return the names of the passwords that it needs."""
        ...

    @property
    def stop_signal(self) -> signal.Signals:
        """Return what asks its first process to end it in order."""
        ...

    def lacks(self) -> str:
        """Return what is missing on this machine and how to get it; empty if nothing is."""
        ...

    def launch(self, place: Place) -> Launch:
        """Write what the server reads when it starts, and return how to start it."""
        ...

    def is_ready(self, place: Place) -> bool:
        """Try a real operation, and make what its users need (buckets, users) if it works."""
        ...

    def exports(self, place: Place) -> Mapping[str, str]:
        """Return the environment that its users need."""
        ...


def start(service: Service, place: Place) -> bool:
    """Start a service and wait until it works; return False if it runs already and works.

    Raises:
        RefusedError: another program has one of its ports.
        ServiceError: it ends, or does not work in time.
    """
    is_new = not is_running(service, place)
    if is_new:
        stop(service, place)  # what its dead leader left holds the ports
        port = place.ports.get(service.name, 0)
        check_free(port, service.num_ports, f"{service.name} needs it: end that program first")
        folder = place.of(service.name)
        folder.mkdir(mode=0o700, exist_ok=True)
        how = service.launch(place)
        _record(service, place).write_text(str(_spawn(how, folder)))
    _wait(service, place)
    return is_new


def stop(service: Service, place: Place) -> int:
    """End all processes of a service, and return how many there were."""
    members = find_members(service, place)
    if is_running(service, place):
        _end(members[:1], service.stop_signal)  # most leaders end the others in order
    _end(find_members(service, place), signal.SIGTERM)
    _record(service, place).unlink(missing_ok=True)
    return len(members)


def is_running(service: Service, place: Place) -> bool:
    """Return whether the process that was started is alive."""
    leader = _leader(service, place)
    return any(process.pid == leader for process in find_members(service, place))


def find_members(service: Service, place: Place) -> list[psutil.Process]:
    """Return the living processes of a service, its leader first.

    They are of the group or session that was started (PostgreSQL's have sessions of their
    own, Ray's workers groups), and work in the service's folder: a number that another
    program got since is not taken for it.
    """
    leader = _leader(service, place)
    found = []
    for process in psutil.process_iter() if leader else ():
        try:
            is_started = leader in (os.getpgid(process.pid), os.getsid(process.pid))
            is_member = is_started and Path(process.cwd()).is_relative_to(place.of(service.name))
        except (ProcessLookupError, psutil.Error):
            continue  # it ended, is a zombie, or is another user's
        if is_member:
            found.append(process)
    return sorted(found, key=lambda process: process.pid != leader)


def _end(processes: Sequence[psutil.Process], how: signal.Signals) -> None:
    """Ask processes to end, and kill those that do not in time."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(how)
    _, alive = psutil.wait_procs(processes, _STOP_S)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, _STOP_S)


def _leader(service: Service, place: Place) -> int:
    """Return the number of the process that was started, 0 if none was."""
    try:
        return int(_record(service, place).read_text() or 0)
    except FileNotFoundError:
        return 0


def _record(service: Service, place: Place) -> Path:
    return place.of(service.name) / "pid"


def _log(service: Service, place: Place) -> Path:
    return place.of(service.name) / "log"


def _spawn(how: Launch, folder: Path) -> int:
    """Start processes that outlive this one, in a group of their own."""
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            how.command,
            cwd=folder,
            env=how.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=how.user,
            group=how.user,
            extra_groups=None if how.user is None else [],
        )
    process.returncode = 0  # nobody here waits for it
    return process.pid


def _wait(service: Service, place: Place) -> None:
    deadline = time.monotonic() + _START_S
    while not service.is_ready(place):
        if not is_running(service, place):
            raise ServiceError(f"{service.name} ended: {_tail(service, place)}")
        if time.monotonic() > deadline:
            raise ServiceError(
                f"{service.name} does not work after {_START_S:.0f} s: {_tail(service, place)}"
            )
        time.sleep(0.2)


def _tail(service: Service, place: Place) -> str:
    log = _log(service, place)
    return f"{log} ends with\n{log.read_text(errors='replace')[-_SHOWN:].strip()}"
