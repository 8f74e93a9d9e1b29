"""A study on a cluster that is not there yet: Ray's own autoscaler starts nodes and ends them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from chaos_study import NAME, attempts, independent_space

from cluster.local.place import HOST, free_ports
from ss3d.settings import Settings
from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.study.definition import Request
from ss3d.study.driver import Watcher, search
from ss3d.study.environment import prepare_environment
from ss3d.study.job import Progress, from_config
from ss3d.study.live import Snapshot
from ss3d.trial.history import load_study_record

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(os.environ.get("SS3D_CHAOS") != "all", reason="part of `make chaos`"),
]

EPOCHS = 12
NODES = 3
TRIALS = 5
LAST = layout.trial_id(TRIALS - 1)
IDLE_S = 6.0
PATIENCE_S = 60.0
_HEAD = "f" * 51 + "00000"
"""What Ray calls the head of a cluster of processes on one machine."""
_COMMANDS = (
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
)


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A head without CPUs, with the autoscaler that `ray up` starts; its nodes are processes."""
    prepare_environment(tmp_path)
    port = free_ports(2)
    config = tmp_path / "autoscaling.json"
    config.write_text(json.dumps(autoscaling(f"{HOST}:{port}")))
    folder = tempfile.mkdtemp(prefix="ss3d-", dir="/tmp")  # sockets need a short name
    options = {
        "port": port,
        "ray-client-server-port": port + 1,
        "num-cpus": 0,
        "include-dashboard": "false",
        "min-worker-port": 0,
        "max-worker-port": 0,
        "dashboard-agent-listen-port": 0,
        "object-store-memory": 100_000_000,
        "temp-dir": folder,
        "autoscaling-config": config,
    }
    words = [f"--{name}={value}" for name, value in options.items()]
    own = {
        "RAY_FAKE_CLUSTER": "1",
        "RAY_CLOUD_INSTANCE_ID": _HEAD,
        "RAY_enable_autoscaler_v2": "1",
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
    }
    with (tmp_path / "head.log").open("wb") as log:
        head = subprocess.Popen(
            [Path(sys.executable).parent / "ray", "start", "--head", "--block", *words],
            env={**os.environ, **own},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for(lambda: num_nodes(f"{HOST}:{port}") == 0)
        yield f"{HOST}:{port}"
        assert head.poll() is None, (tmp_path / "head.log").read_text()
    finally:
        if head.poll() is None:
            family = psutil.Process(head.pid).children(recursive=True)
            for process in (head, *family):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(family, timeout=PATIENCE_S)
        head.wait()
        shutil.rmtree(folder, ignore_errors=True)


def autoscaling(address: str) -> dict[str, Any]:
    """Return what a file for `ray up` says, for nodes that are processes on this machine."""
    return {
        "cluster_name": "ss3d",
        "max_workers": NODES,
        "idle_timeout_minutes": IDLE_S / 60,
        "upscaling_speed": 4,
        "provider": {
            "type": "external",
            "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
            "gcs_address": address,
            "head_node_id": _HEAD,
            "launch_multiple": True,
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "head_node_type": "ray.head.default",
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "cpu": {
                "resources": {"CPU": 1, "object_store_memory": 100_000_000},
                "node_config": {},
                "min_workers": 0,
                "max_workers": NODES,
            },
        },
        "cluster_synced_files": [],
        "file_mounts": {},
        "auth": {},
        **{command: [] for command in _COMMANDS},
    }


def test_nodes_come_with_a_study_and_go_when_it_needs_them_no_more(
    tmp_path: Path, data_folder: Path, address: str
) -> None:
    from ss3d.study.trainable import JobTrainable

    class LongLast(JobTrainable):
        """The last trial outlasts the others by more than the time after which idle nodes go."""

        def begin(self, config: dict[str, Any]) -> Iterator[Progress]:
            job, _ = from_config(config)
            for progress in super().begin(config):
                if job.name == LAST:
                    time.sleep(4 * IDLE_S / EPOCHS)
                yield progress

    seen: list[int] = []

    def on_update(snapshot: Snapshot) -> None:
        seen.append(num_nodes(address))

    (tmp_path / "space.toml").write_text(independent_space(14, EPOCHS))
    settings = Settings(home=tmp_path / "home", ray_address=address)
    request = Request(
        space=tmp_path / "space.toml", data=str(data_folder), trials=TRIALS, slots=NODES
    )
    search(request, settings, None, Watcher(on_update=on_update), LongLast)
    wait_for(lambda: num_nodes(address) == 0)
    store = DirectoryStore(Path(settings.store_address))
    record = load_study_record(store, NAME)
    assert [trial.state for trial in record.trials] == ["complete"] * TRIALS
    for trial in record.trials:
        assert [report.epoch for report in trial.reports] == list(range(EPOCHS + 1))
        assert len(attempts(store, layout.trial(NAME, trial.spec.trial))) == 1
    known = [nodes for nodes in seen if nodes >= 0]
    top = known.index(NODES)
    assert known[:top] == sorted(known[:top])
    assert known[top:] == sorted(known[top:], reverse=True)
    assert (known[0], known[-1]) == (0, 1)  # the last is where the last trial is


def num_nodes(address: str) -> int:
    """Return how many nodes are alive beside the head; -1 while that cannot be known."""
    from ray._raylet import GcsClient  # pyrefly: ignore[missing-module-attribute]
    from ray.exceptions import RaySystemError, RpcError

    try:
        nodes = GcsClient(address=address).get_all_node_info(timeout=5)
    except (RpcError, RaySystemError):
        return -1
    return sum(node.state == node.ALIVE for node in nodes.values()) - 1


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)
