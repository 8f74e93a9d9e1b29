"""A search on two nodes, of which one trains slowly."""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alone import Alone, curve
from chaos_study import NAME, SPACE

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

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(os.environ.get("SS3D_CHAOS") != "all", reason="part of `make chaos`"),
]

EPOCHS = 30
DELAY_S = 3.0
ALIKE = (
    SPACE.replace(
        '[pruner]\nname = "asha"\nfirst_rung = 2\nreduction_factor = 2\n',
        '[pruner]\nname = "none"\n',
    )
    .replace("[1, 2]", "[1]")
    .replace(", 1e30]", "]")
    .replace("semi.steps = 6", f"semi.steps = {2 * EPOCHS}")
    .replace("semi.epochs = 6", f"semi.epochs = {EPOCHS}")
)
"""All trials take as long, and none is stopped."""

Cluster = Any
"""Ray's; it is imported in the fixture."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A head that trains nothing, and two nodes with caches of their own."""
    prepare_environment(tmp_path)
    import ray.cluster_utils

    cluster = ray.cluster_utils.Cluster()
    try:
        cluster.add_node(num_cpus=0, include_dashboard=False)
        for number in (1, 2):
            cache = str(tmp_path / f"cache-{number}")
            cluster.add_node(num_cpus=1, env_vars={"SS3D_CACHE": cache})
        yield cluster
    finally:
        cluster.shutdown()


def test_a_trial_moves_from_a_node_that_is_slow(
    cluster: Cluster, tmp_path: Path, data_folder: Path
) -> None:
    from ss3d.study.trainable import JobTrainable  # imports Ray

    begun = tmp_path / "begun"
    slow, fast = sorted(node.node_id for node in cluster.worker_nodes)

    class OnTwoNodes(JobTrainable):
        """Says where each job begins; on one of the nodes epochs take longer."""

        def begin(self, config: dict[str, Any]) -> Iterator[Progress]:
            import ray

            node, (job, _) = ray.get_runtime_context().get_node_id(), from_config(config)
            with begun.open("a") as file:
                file.write(json.dumps([job.name, node]) + "\n")
            train_epoch = run.train_epoch

            def slowly(*of: Any) -> dict[str, float]:
                time.sleep(DELAY_S if node == slow else 0.0)
                return train_epoch(*of)

            try:
                run.train_epoch = slowly
                yield from super().begin(config)
            finally:
                run.train_epoch = train_epoch

    (tmp_path / "space.toml").write_text(ALIKE)
    settings = Settings(home=tmp_path / "home", ray_address=cluster.address)
    request = Request(space=tmp_path / "space.toml", data=str(data_folder), trials=4, slots=2)
    shown: list[Snapshot] = []
    search(request, settings, None, Watcher(on_update=shown.append), OnTwoNodes)

    store = DirectoryStore(Path(settings.store_address))
    trials = load_study_record(store, NAME).trials
    assert [one.state for one in trials] == ["complete"] * 4
    nodes = defaultdict(list)
    for job, node in map(json.loads, begun.read_text().splitlines()):
        nodes[job].append(node)
    (moved,) = (one.spec.trial for one in trials if nodes[one.spec.trial][0] == slow)
    assert nodes[moved] == [slow, fast]
    made = {
        name: len(read_attempts(store, layout.trial(NAME, name)))
        for name in nodes
        if name[0] == "t"
    }
    assert made == {one.spec.trial: 1 + (one.spec.trial == moved) for one in trials}
    (line,) = (
        one["message"]
        for one in read_lines(store, layout.session_log(NAME, 1))
        if one["message"].startswith("moved ")
    )
    assert line.startswith(f"moved {moved} from node ")
    assert slow[:8] in line
    assert shown[-1].num_moved == 1
    assert max(one.num_resting for one in shown) == 1
    assert shown[-1].num_resting == 0

    alone = Alone(tmp_path, data_folder)
    for one in trials:
        assert curve(one.reports) == alone.train(one.spec)
    alone.close()
