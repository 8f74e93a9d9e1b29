"""A search on two nodes, of which one trains slowly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from alone import Alone, curve
from chaos_study import NAME, independent_space

from ss3d.settings import Settings
from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.study.definition import Request
from ss3d.study.driver import Watcher, search
from ss3d.study.environment import prepare_environment
from ss3d.study.job import Progress, from_config
from ss3d.study.live import Snapshot
from ss3d.trial import run
from ss3d.trial.circumstances import read_attempts
from ss3d.trial.history import load_study_record
from ss3d.trial.log import read_lines

if TYPE_CHECKING:
    from ss3d.study.trainable import JobTrainable

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(os.environ.get("SS3D_CHAOS") != "all", reason="part of `make chaos`"),
]

EPOCHS = 30
DELAY_S = 3.0
ALIKE = independent_space(2 * EPOCHS, EPOCHS).replace("[1, 2]", "[1]")
"""All trials take as long, and none is stopped."""

HEALTH = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 1000,
    "health_check_failure_threshold": 5,
}
"""A node that is lost is missed after five seconds."""
SLOW, FAST = "slow", "fast"


class Nodes:
    """A head that trains nothing, and two nodes with caches of their own.

    Args:
        folder: of the test.
    """

    def __init__(self, folder: Path) -> None:
        prepare_environment(folder)
        import ray.cluster_utils

        self.cure = folder / "cure"
        """Once it is there, the slow node is as fast as the other."""
        self._begun = folder / "begun"
        self._head = ray.cluster_utils.Cluster()
        self._head.add_node(num_cpus=0, include_dashboard=False, _system_config=HEALTH)
        self.address = self._head.address
        self._running = {name: self._start(folder / name) for name in (SLOW, FAST)}

    def kill(self, name: str) -> None:
        """Kill all processes of a node at once."""
        node = self._running.pop(name)
        for process in (node, *psutil.Process(node.pid).children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        node.wait()

    def close(self) -> None:
        for name in list(self._running):
            self.kill(name)
        self._head.shutdown()

    def begun(self) -> dict[str, list[str]]:
        """Return the nodes that each job began on, in their order."""
        nodes = defaultdict(list)
        for job, node in map(json.loads, self._begun.read_text().splitlines()):
            nodes[job].append(node)
        return nodes

    def trainable(self) -> type[JobTrainable]:
        """Return what trains as ever, and takes longer for an epoch on the slow node."""
        from ss3d.study.trainable import JobTrainable  # imports Ray

        cure, begun = self.cure, self._begun

        class OnTwoNodes(JobTrainable):
            def begin(self, config: dict[str, Any]) -> Iterator[Progress]:
                node, (job, _) = Path(os.environ["SS3D_CACHE"]).name, from_config(config)
                train_epoch = run.train_epoch

                def slowly(*of: Any) -> dict[str, float]:
                    time.sleep(DELAY_S if node == SLOW and not cure.exists() else 0.0)
                    return train_epoch(*of)

                try:
                    run.train_epoch = slowly
                    with begun.open("a") as file:
                        file.write(json.dumps([job.name, node]) + "\n")
                    yield from super().begin(config)
                finally:
                    run.train_epoch = train_epoch

        return OnTwoNodes

    def _start(self, folder: Path) -> subprocess.Popen[bytes]:
        """Start a node that is no child of ours, as those of a cluster are not; wait for it."""
        command = [str(Path(sys.executable).parent / "ray"), "start", "--block", "--num-cpus=1"]
        command += [f"--address={self.address}", "--num-gpus=0", "--object-store-memory=100000000"]
        environment = {**os.environ, "SS3D_CACHE": str(folder)}
        told = folder.with_suffix(".log")
        with told.open("wb") as file:
            node = subprocess.Popen(command, env=environment, stdout=file, stderr=file)
        while "Ray runtime started" not in told.read_text():
            assert node.poll() is None, told.read_text()
            time.sleep(0.1)
        return node


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    nodes = Nodes(tmp_path)
    yield nodes
    nodes.close()


@pytest.fixture
def settings(nodes: Nodes, tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", ray_address=nodes.address)


@pytest.fixture
def study(tmp_path: Path, data_folder: Path) -> Request:
    (tmp_path / "space.toml").write_text(ALIKE)
    return Request(space=tmp_path / "space.toml", data=str(data_folder), trials=4, slots=2)


def test_a_trial_moves_from_a_node_that_is_slow(
    nodes: Nodes, settings: Settings, study: Request, tmp_path: Path, data_folder: Path
) -> None:
    shown: list[Snapshot] = []
    search(study, settings, None, Watcher(on_update=shown.append), nodes.trainable())
    trials = check_as_undisturbed(settings, tmp_path, data_folder)
    begun = nodes.begun()
    (moved,) = (trial for trial in trials if begun[trial][0] == SLOW)
    assert begun[moved] == [SLOW, FAST]
    assert trials == {trial: 1 + (trial == moved) for trial in trials}
    told = [line for line in session_log(settings) if line.startswith("moved ")]
    assert len(told) == 1
    assert told[0].startswith(f"moved {moved} from node ")
    assert shown[-1].num_moved == 1
    assert max(one.num_resting for one in shown) == 1
    assert shown[-1].num_resting == 0


def test_a_slow_node_is_used_again_when_the_other_is_lost(
    nodes: Nodes, settings: Settings, study: Request, tmp_path: Path, data_folder: Path
) -> None:
    def on_update(snapshot: Snapshot) -> None:
        if snapshot.num_moved and not nodes.cure.exists():
            nodes.cure.touch()
            nodes.kill(FAST)

    search(study, settings, None, Watcher(on_update=on_update), nodes.trainable())
    trials = check_as_undisturbed(settings, tmp_path, data_folder)
    assert {nodes.begun()[trial][-1] for trial in trials} == {SLOW, FAST}
    assert any(line.endswith(" gets jobs again") for line in session_log(settings))


def check_as_undisturbed(settings: Settings, folder: Path, data: Path) -> dict[str, int]:
    """Prove that all trials are as they are when trained alone; return the attempts of each."""
    store = DirectoryStore(Path(settings.store_address))
    trials = load_study_record(store, NAME).trials
    assert [one.state for one in trials] == ["complete"] * 4
    alone = Alone(folder, data)
    for one in trials:
        assert curve(one.reports) == alone.train(one.spec)
    alone.close()
    names = [one.spec.trial for one in trials]
    return {name: len(read_attempts(store, layout.trial(NAME, name))) for name in names}


def session_log(settings: Settings) -> list[str]:
    store = DirectoryStore(Path(settings.store_address))
    return [str(line["message"]) for line in read_lines(store, layout.session_log(NAME, 1))]
