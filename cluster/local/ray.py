"""A Ray cluster: a head that trains nothing, and nodes that do, each with a cache of its own.

Ray listens on all interfaces (on Linux it takes no 127.0.0.1), so every process asks for a token.
A network namespace would close the ports too, and with them the way of a search into the cluster.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from cluster.local import mlflow, s3
from cluster.local.place import HOST, Place, write_private
from cluster.local.service import Launch, stop
from ss3d.errors import ServiceError
from ss3d.study.environment import ENVIRONMENT

_OWN = ("AWS_", "MLFLOW_", "RAY_", "SS3D_")
_LONGEST = 50
"""Characters of a folder in which Ray can still make its sockets."""
_OBJECT_STORE_BYTES = 100_000_000
_HEALTH = {
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "5000",
    "RAY_health_check_failure_threshold": "5",
}
"""A node that is killed is missed after 5 seconds, a third of Ray's own time."""
_ASK_S = 5.0


class Head:
    """Ray's head: searches join it, or are sent to it, and none of their trials runs there."""

    name = "ray"
    num_ports = 3
    """The second is of Ray Client, which Ray starts wherever it can; the third of its jobs."""
    passwords = ("ray",)
    stop_signal = signal.SIGTERM

    def lacks(self) -> str:
        """Return nothing: Ray is installed with ss3d."""
        return ""

    def launch(self, place: Place) -> Launch:
        """Write the token and return how to start the head, which all nodes start after.

        Raises:
            ServiceError: the folder's name is too long for Ray's sockets.
        """
        sessions = place.of(self.name) / "t"
        if len(str(sessions)) > _LONGEST:
            raise ServiceError(
                f"{sessions}: {len(str(sessions))} characters, and Ray's sockets there need a name "
                f"of {_LONGEST} at most; take a folder nearer to the root"
            )
        for number in range(1, place.nodes + 1):
            stop(Node(number), place)  # another head's nodes do not come to this one
        write_private(_token(place), place.passwords["ray"])
        port = place.ports[self.name]
        options = {"--head": "", "--port": str(port), "--ray-client-server-port": str(port + 1)}
        options |= {"--dashboard-host": HOST, "--dashboard-port": str(port + 2)}
        options |= {"--include-dashboard": "true", "--num-cpus": "0", "--temp-dir": str(sessions)}
        return _launch(place, self.name, options, mlflow.Mlflow().exports(place))

    def is_ready(self, place: Place) -> bool:
        """Ask for the cluster's nodes, with the token."""
        return self.name in _alive(place)

    def exports(self, place: Place) -> dict[str, str]:
        """Return where the cluster is and where its token."""
        jobs = f"http://{HOST}:{place.ports[self.name] + 2}"
        return {
            "SS3D_RAY_ADDRESS": _address(place),
            "RAY_API_SERVER_ADDRESS": jobs,
            **_access(place),
        }


class Node:
    """A node that trains; killing it is like losing a machine.

    Args:
        number: from 1 on.
    """

    num_ports = 1
    passwords: Sequence[str] = ()
    stop_signal = signal.SIGTERM

    def __init__(self, number: int) -> None:
        self.name = f"ray-{number}"

    def lacks(self) -> str:
        """Return nothing: Ray is installed with ss3d."""
        return ""

    def launch(self, place: Place) -> Launch:
        """Return how to start it; what it needs of the store is in its own environment."""
        options = {"--address": _address(place), "--num-cpus": str(place.node_cpus)}
        options |= {"--node-manager-port": str(place.ports[self.name])}
        return _launch(place, self.name, options)

    def is_ready(self, place: Place) -> bool:
        """Ask the head whether it knows the node."""
        return self.name in _alive(place)

    def exports(self, place: Place) -> dict[str, str]:
        """Return nothing: only the head is joined."""
        return {}


def _launch(
    place: Place, name: str, own: Mapping[str, str], more: Mapping[str, str] | None = None
) -> Launch:
    """Return how to start a node, which stays in the foreground.

    Args:
        place: of the stack.
        name: of the node.
        own: options of this node.
        more: environment that others do not have: drivers that are submitted find MLflow's there.
    """
    options = {
        "--node-name": name,
        "--num-gpus": "0",
        "--object-store-memory": str(_OBJECT_STORE_BYTES),
        "--min-worker-port": "0",
        "--max-worker-port": "0",
        "--dashboard-agent-listen-port": "0",
        **own,
    }
    words = [f"{option}={value}" if value else option for option, value in options.items()]
    programs = Path(sys.executable).parent
    command = [programs / "ray", "start", "--block", *words]
    kept = {key: value for key, value in os.environ.items() if not key.startswith(_OWN)}
    store = s3.S3().exports(place)
    cache = {"SS3D_CACHE": str(place.of(name) / "cache")}
    path = {"PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}"}
    ray = {**ENVIRONMENT, **_HEALTH, **_access(place)}
    return Launch(command, {**kept, **path, **ray, **store, **cache, **(more or {})})


def _alive(place: Place) -> set[str]:
    """Return the names of the nodes that the head knows and takes for alive."""
    end = HOST, place.ports[Head.name]
    with contextlib.suppress(OSError), socket.create_connection(end, timeout=_ASK_S):
        os.environ.update({**ENVIRONMENT, **_access(place)})  # Ray reads it at its import
        from ray._raylet import GcsClient  # pyrefly: ignore[missing-module-attribute]
        from ray.exceptions import RaySystemError, RpcError

        with contextlib.suppress(RpcError, RaySystemError):
            nodes = GcsClient(address=_address(place)).get_all_node_info(timeout=_ASK_S)
            return {node.node_name for node in nodes.values() if node.state == node.ALIVE}
    return set()


def _access(place: Place) -> dict[str, str]:
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(_token(place))}


def _token(place: Place) -> Path:
    return place.of(Head.name) / "token"


def _address(place: Place) -> str:
    return f"{HOST}:{place.ports[Head.name]}"
