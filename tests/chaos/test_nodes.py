"""A Ray cluster of three nodes: its doors, and what `ss3d cluster check` finds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc import StatusCode
from servers.local_stack import LocalStack, command, sourced

from cluster.local.place import HOST, find_place
from ss3d.store import layout
from ss3d.store.opening import open_store

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(os.environ.get("SS3D_CHAOS") != "all", reason="part of `make chaos`"),
]


@pytest.fixture(scope="module")
def cluster(local_stack: LocalStack) -> Iterator[LocalStack]:
    """The stack with a head and three nodes."""
    folder = local_stack.place.folder
    try:
        command("up", folder, "--nodes", "3")
        place = find_place(folder)
        assert place is not None
        yield LocalStack(place, sourced(folder / "env"))
    finally:
        command("up", folder, "--nodes", "0")


def test_ray_answers_nobody_without_the_token(cluster: LocalStack) -> None:
    ports = cluster.place.ports
    doors = {
        ports["ray"]: "NodeInfoGcsService/GetAllNodeInfo",
        ports["ray"] + 1: "RayletDriver/ClusterInfo",
        ports["ray-1"]: "NodeManagerService/GetNodeStats",
    }
    for port, method in doors.items():
        own = cluster.place.passwords["ray"]
        is_refused = [
            ask(port, method, token) == StatusCode.UNAUTHENTICATED for token in (own, "", "wrong")
        ]
        assert is_refused == [False, True, True], method


def ask(port: int, method: str, token: str) -> StatusCode:
    """Return how one of Ray's servers answers an empty request."""
    headers = [("authorization", f"Bearer {token}")] if token else []
    with grpc.insecure_channel(f"{HOST}:{port}") as channel:
        call = channel.unary_unary(f"/ray.rpc.{method}")
        try:
            _, answer = call.with_call(b"", metadata=headers, timeout=20)
        except grpc.RpcError as error:
            return error.code()  # pyrefly: ignore[missing-attribute]
        return answer.code()


def test_every_node_is_asked(
    cluster: LocalStack, stack_access: LocalStack, data_folder: Path, tmp_path: Path
) -> None:
    words = [sys.executable, "-m", "ss3d", "cluster", "check", "--home", str(tmp_path)]
    words += ["--data", str(data_folder), "--json"]
    environment = {**os.environ, **cluster.environment}
    outcome = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert outcome.returncode == 0, outcome.stderr
    told = json.loads(outcome.stdout)
    assert {node["node"]: node["cpus"] for node in told["nodes"]} == {
        "ray": 0.0, "ray-1": 1.0, "ray-2": 1.0, "ray-3": 1.0
    }  # fmt: skip
    for node in told["nodes"]:
        found = {finding["probe"]: finding for finding in node["findings"]}
        assert {finding["outcome"] for finding in found.values()} == {"ok"}
        assert list(found) == ["versions", "clock", "store", "data", "cache"]
        assert str(cluster.place.of(node["node"])) in found["cache"]["detail"]
    assert list(open_store(cluster.environment["SS3D_STORE"]).list(layout.PROBES)) == []
