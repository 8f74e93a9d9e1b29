"""A Ray cluster of three nodes: its doors, and a study that loses a node and gets another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE

import grpc
import pytest
from aftermath import check_aftermath
from alone import Alone, curve
from chaos_study import NAME, ChaosStudy, Driver, independent_space
from grpc import StatusCode
from servers.local_stack import LocalStack, command

from cluster.local.place import HOST
from cluster.local.ray import Node
from cluster.local.s3 import STORE_BUCKET
from cluster.local.service import find_members
from ss3d.store import layout
from ss3d.store.opening import open_store
from ss3d.trial.circumstances import read_attempts
from ss3d.trial.log import read_lines

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
IN_CHAOS = pytest.mark.skipif(
    os.environ.get("SS3D_CHAOS") != "all", reason="part of `make chaos`: it takes its time"
)

EPOCHS = 12
HALF = EPOCHS // 2
DRAIN = """
import sys, time
from ray._raylet import GcsClient
from ray.core.generated.autoscaler_pb2 import DRAIN_NODE_REASON_PREEMPTION
from ray.core.generated.gcs_pb2 import GcsNodeInfo
control_plane = GcsClient(address=sys.argv[1])
print("ready", flush=True)
name, deadline_ms = sys.stdin.readline(), int(time.time() + 120) * 1000
nodes = control_plane.get_all_node_info().items()
(node,) = (id for id, info in nodes if info.node_name == name and info.state == GcsNodeInfo.ALIVE)
is_accepted, why = control_plane.drain_node(
    node.hex(), DRAIN_NODE_REASON_PREEMPTION, "spot", deadline_ms
)
assert is_accepted, why
"""


@pytest.fixture(scope="module")
def cluster(local_stack: LocalStack) -> Iterator[LocalStack]:
    """The stack with a head and three nodes."""
    with local_stack.with_nodes(3) as cluster:
        yield cluster


def test_ray_answers_nobody_without_the_token(cluster: LocalStack) -> None:
    ports = cluster.place.ports
    doors = (
        (ports["ray"], "NodeInfoGcsService/GetAllNodeInfo"),
        (ports["ray"], "NodeInfoGcsService/CheckAlive"),  # where searches try their token
        (ports["ray"] + 1, "RayletDriver/ClusterInfo"),
        (ports["ray-1"], "NodeManagerService/GetNodeStats"),
    )
    for port, method in doors:
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


@IN_CHAOS
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


@pytest.fixture
def chaos(
    request: pytest.FixtureRequest,
    cluster: LocalStack,
    stack_access: LocalStack,
    tmp_path: Path,
    data_folder: Path,
    migrated_database: Path,
) -> Iterator[ChaosStudy]:
    """A study over the nodes, in S3 and MLflow; number of trials and steps may be given."""
    (tmp_path / "nodes").mkdir()
    trials, steps = getattr(request, "param", (12, 14))
    space = independent_space(steps, EPOCHS)
    study = ChaosStudy(tmp_path / "nodes", data_folder, migrated_database, space=space)
    study.trials, study.slots = trials, 3
    place = f"s3://{STORE_BUCKET}/{tmp_path.name}"
    own = {"store": place, "tracking": cluster.environment["SS3D_TRACKING"]}
    study.settings = study.settings.model_copy(update=own)
    yield study
    study.close()


def test_a_study_loses_a_node_that_trains_and_gets_another(
    cluster: LocalStack, chaos: ChaosStudy, tmp_path: Path, data_folder: Path
) -> None:
    driver = chaos.start(**cluster.environment)
    node, trial = find_busy(cluster, chaos, driver)
    cluster.kill(node.name)
    chaos.note()
    command("up", cluster.place.folder, "--nodes", "4")
    assert driver.poll() is None, "the study ended before the fourth node had joined"
    chaos.ends_with(driver, 0)
    check_as_undisturbed(chaos, tmp_path, data_folder)
    made = {one.spec.trial: num_attempts(chaos, one.spec.trial) for one in chaos.record().trials}
    assert made == dict.fromkeys(made, 1) | {trial: 2}


@pytest.fixture
def drain(cluster: LocalStack) -> Iterator[Callable[[Node], None]]:
    """Tell Ray of a node, as a spot notice does, that it will go; all is ready for that before."""
    words = [sys.executable, "-c", DRAIN, cluster.environment["SS3D_RAY_ADDRESS"]]
    own = {**os.environ, **cluster.environment}
    with subprocess.Popen(words, env=own, stdin=PIPE, stdout=PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"

        def drained(node: Node) -> None:
            process.communicate(node.name)
            assert process.returncode == 0

        yield drained
        process.kill()


@IN_CHAOS
@pytest.mark.parametrize("chaos", [(3, 30)], indirect=True)
@pytest.mark.parametrize("how", ["drained", "terminated", "drained and killed"])
def test_a_trial_on_a_node_that_goes_away_goes_on_elsewhere(
    cluster: LocalStack,
    chaos: ChaosStudy,
    drain: Callable[[Node], None],
    how: str,
    tmp_path: Path,
    data_folder: Path,
) -> None:
    cluster.up()  # what the test before has ended
    driver = chaos.start(**cluster.environment)
    node, trial = find_busy(cluster, chaos, driver)
    if how == "terminated":  # as a pod is
        find_members(node, cluster.place)[0].terminate()
    else:
        drain(node)
    if how == "drained and killed":  # before its worker could leave
        cluster.kill(node.name)
    chaos.ends_with(driver, 0)
    check_as_undisturbed(chaos, tmp_path, data_folder)
    made = {one.spec.trial: num_attempts(chaos, one.spec.trial) for one in chaos.record().trials}
    assert made == dict.fromkeys(made, 1) | {trial: 2}
    if how != "drained and killed":
        left = {process.name() for process in find_members(node, cluster.place)}
        assert "raylet" not in left  # it ended by itself, as soon as nothing ran there
        folder = layout.trial(NAME, trial)
        kept = [layout.attempt_and_epoch(key) for key in chaos.store.list(f"{folder}/epochs/")]
        assert [epoch for _, epoch in sorted(kept)] == list(range(EPOCHS + 1))
        *_, last = read_lines(chaos.store, f"{folder}/log/{layout.attempt_log(1)}")
        assert last["message"].endswith(f"{trial} goes on elsewhere: its node is drained")
    cluster.kill(node.name)  # what is left of it would be taken for a node that runs


@IN_CHAOS
def test_a_study_outlives_its_head(
    cluster: LocalStack, chaos: ChaosStudy, tmp_path: Path, data_folder: Path
) -> None:
    driver = chaos.start(**cluster.environment)
    find_busy(cluster, chaos, driver)
    cluster.kill("ray")
    chaos.ends_with(driver, 4)
    assert "--resume goes on" in (tmp_path / "nodes" / "driver-0.log").read_text()
    chaos.ends_with(chaos.start(**cluster.environment), 4)  # there is no Ray to resume it on
    chaos.note()
    command("up", cluster.place.folder)
    chaos.ends_with(chaos.start(**cluster.environment), 0)
    check_as_undisturbed(chaos, tmp_path, data_folder)


def check_as_undisturbed(chaos: ChaosStudy, folder: Path, data: Path) -> None:
    """Prove that all is there once, and as each trial is when it is trained alone."""
    record = chaos.record()
    check_aftermath(chaos, record)
    assert [one.state for one in record.trials] == ["complete"] * chaos.trials
    alone = Alone(folder, data)
    for one in record.trials:
        assert curve(one.reports) == alone.train(one.spec)
    alone.close()


def find_busy(cluster: LocalStack, chaos: ChaosStudy, driver: Driver) -> tuple[Node, str]:
    """Wait for a node that trains a trial, in its first half; return both."""
    nodes = [Node(number) for number in range(1, cluster.place.nodes + 1)]
    found: list[tuple[Node, str]] = []

    def is_found() -> bool:
        for one in chaos.record().trials if has_study(chaos) else ():
            if one.result is None and 0 < len(one.reports) <= HALF:
                (attempt,) = read_attempts(chaos.store, layout.trial(NAME, one.spec.trial))
                trained_by = (node for node in nodes if attempt["process"] in pids(node, cluster))
                found.extend((node, one.spec.trial) for node in trained_by)
        return bool(found)

    chaos.wait_for(is_found, driver)
    return found[-1]


def pids(node: Node, cluster: LocalStack) -> set[int]:
    return {process.pid for process in find_members(node, cluster.place)}


def has_study(chaos: ChaosStudy) -> bool:
    return chaos.store.get(layout.study(NAME, "study.json")) is not None


def num_attempts(chaos: ChaosStudy, trial: str) -> int:
    return len(read_attempts(chaos.store, layout.trial(NAME, trial)))
