"""A network in small: machines that are network namespaces at one switch, whose cables can be cut.

Their disk is the same, and so are their process numbers.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE_S = 10.0


class Network:
    """Machines from number 1 on; the switch is at the first, whose cable cannot be cut.

    Args:
        tag: begins the names of the namespaces.
    """

    def __init__(self, tag: str) -> None:
        self._tag = tag

    def on(self, number: int) -> list[str]:
        """Return what comes before a command that runs on a machine."""
        return ["ip", "netns", "exec", self._name(number)]

    def address(self, number: int) -> str:
        return f"10.77.0.{number}"

    def plug(self, number: int, how: str) -> None:
        """Plug a machine's cable in (`up`) or out (`down`)."""
        _ip("-n", self._name(1), "link", "set", f"cable{number}", how)

    def begin(self) -> None:
        """Make the first machine with the switch."""
        first = self._make(1)
        _ip("-n", first, "link", "add", "switch", "type", "bridge")
        _ip("-n", first, "address", "add", f"{self.address(1)}/24", "dev", "switch")
        _ip("-n", first, "link", "set", "switch", "up")

    def add(self, number: int) -> None:
        """Add a machine and plug its cable in."""
        first, own, cable = self._name(1), self._make(number), f"cable{number}"
        ends = [cable, "netns", first, "type", "veth", "peer", "name", "eth0", "netns", own]
        _ip("link", "add", *ends)
        _ip("-n", own, "address", "add", f"{self.address(number)}/24", "dev", "eth0")
        _ip("-n", own, "link", "set", "eth0", "up")
        _ip("-n", first, "link", "set", cable, "master", "switch")
        self.plug(number, "up")

    def remove(self) -> None:
        """Remove all machines, whose processes have ended."""
        listed = _ip("netns", "list").split("\n")
        for name in (line.partition(" ")[0] for line in listed):
            if name.startswith(f"{self._tag}-"):
                _ip("netns", "delete", name)

    def _name(self, number: int) -> str:
        return f"{self._tag}-{number}"

    def _make(self, number: int) -> str:
        _ip("netns", "add", self._name(number))
        _ip("-n", self._name(number), "link", "set", "lo", "up")
        return self._name(number)


@contextmanager
def network(num_machines: int) -> Iterator[Network]:
    """Make a network, and remove it at the end.

    Raises:
        OSError: there is no command `ip`, or no right to make one.
    """
    made = Network(f"ss3d-{os.getpid()}")
    try:
        made.begin()
        for number in range(2, num_machines + 1):
            made.add(number)
        yield made
    finally:
        made.remove()


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=PATIENCE_S)
    if done.returncode:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout
