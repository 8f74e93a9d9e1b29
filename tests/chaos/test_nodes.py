"""A study over three nodes: one joins, one is killed, and nothing of it shows in the results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import grpc
import pytest
from aftermath import check_aftermath
from chaos_study import NAME, SPACE, ChaosStudy, attempts
from grpc import StatusCode
from servers.local_stack import LocalStack, command, sourced

from cluster.local.place import HOST, find_place
from cluster.local.ray import Node
from cluster.local.s3 import STORE_BUCKET
from cluster.local.service import find_members
from ss3d.store import layout
from ss3d.store.opening import open_store
from ss3d.study.attempt import run_job
from ss3d.study.job import Job, Place
from ss3d.study.worker import Worker
from ss3d.trial.records import EpochReport, TrialSpec

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

TRIALS = 12
FAILED_TRIALS = 6
"""Exit code of a search with trials that failed: some of the study diverge."""
_TPE = 'name = "tpe"\nn_startup_trials = 2'
_PRUNER = '[pruner]\nname = "asha"\nfirst_rung = 2\nreduction_factor = 2\n'
INDEPENDENT = (
    SPACE.replace(_TPE, 'name = "random"')
    .replace(_PRUNER, '[pruner]\nname = "none"\n')
    .replace("semi.steps = 6", "semi.steps = 14")
    .replace("semi.epochs = 6", "semi.epochs = 14")
)
"""No trial depends on when another ends, and all together last longer than a node needs to join."""


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


def test_a_node_joins_and_a_node_dies(
    cluster: LocalStack,
    stack_access: LocalStack,
    tmp_path: Path,
    data_folder: Path,
    migrated_database: Path,
) -> None:
    (tmp_path / "nodes").mkdir()
    chaos = ChaosStudy(tmp_path / "nodes", data_folder, migrated_database, space=INDEPENDENT)
    chaos.trials, chaos.slots = TRIALS, 3
    own = {"store": f"s3://{STORE_BUCKET}/nodes", "tracking": cluster.environment["SS3D_TRACKING"]}
    chaos.settings = chaos.settings.model_copy(update=own)
    try:
        driver = chaos.start(**cluster.environment)
        chaos.wait_for(lambda: attempts(chaos.store, "pretrains"), driver)
        command("up", cluster.place.folder, "--nodes", "4")
        chaos.wait_for(lambda: trains(cluster, 2) and num_open(chaos) >= chaos.slots, driver)
        chaos.note()
        cluster.kill("ray-2")
        chaos.wait_for(lambda: trains(cluster, 4), driver)
        assert driver.poll() is None, "the node that joined had nothing to do"
        chaos.ends_with(driver, FAILED_TRIALS)
        record = chaos.record()
        check_aftermath(chaos, record)
        assert num_begun_again(chaos) <= 1
        alone = Worker(Place(NAME, *map(str, (tmp_path / "alone", data_folder, tmp_path)), False))
        for trial in record.trials:
            assert curve(trial.reports) == train_alone(alone, trial.spec)
        alone.uploader.close(10)
    finally:
        chaos.close()


def train_alone(worker: Worker, spec: TrialSpec) -> list[tuple[object, ...]]:
    """Return the curve of a trial in another store, where nothing disturbs it and Ray is not."""
    worker.store.put_new(layout.trial(NAME, spec.trial, "spec.json"), spec.to_json())
    jobs = [Job("trial", spec.trial, spec.pretrain_key)]
    if worker.store.get(layout.pretrain(spec.pretrain_key, "manifest.json")) is None:
        jobs.insert(0, Job("pretrain", spec.trial, spec.pretrain_key))
    *_, told = [list(run_job(worker, job)) for job in jobs]
    return curve([report for progress in told for report in progress.reports])


def curve(reports: Iterable[EpochReport]) -> list[tuple[object, ...]]:
    """Return all of a trial's epochs that must repeat bit for bit."""
    return [(r.phase, r.epoch, r.step, r.metrics, r.digest) for r in reports]


def num_open(chaos: ChaosStudy) -> int:
    """Return how many trials were begun and have no result; it is written soon after their end."""
    keys = list(chaos.store.list(layout.study(NAME, "trials") + "/"))
    begun = {key.split("/")[3] for key in keys if "/attempts/" in key}
    return len(begun - {key.split("/")[3] for key in keys if key.endswith("/result.json")})


def num_begun_again(chaos: ChaosStudy) -> int:
    """Return how many attempts there are beyond one for each job."""
    prefixes = [layout.study(NAME, "trials"), "pretrains", "controls"]
    made = [key for prefix in prefixes for key in attempts(chaos.store, prefix)]
    return len(made) - len({key.partition("/attempts/")[0] for key in made})


def trains(cluster: LocalStack, number: int) -> bool:
    """Return whether a node has a process for jobs."""
    members = find_members(Node(number), cluster.place)
    return any("Trainable" in " ".join(member.cmdline()) for member in members)
