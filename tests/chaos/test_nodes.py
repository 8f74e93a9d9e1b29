"""A study over three nodes: one joins, one is killed, and nothing of it shows in the results."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from aftermath import check_aftermath
from chaos_study import NAME, SPACE, ChaosStudy, attempts
from servers.local_stack import LocalStack, command, sourced

from cluster.local.ray import Node
from cluster.local.service import find_members
from ss3d.settings import Settings
from ss3d.store import layout
from ss3d.trial.records import StudyRecord

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

TRIALS = 12
FAILED_TRIALS = 6
"""Exit code of a search with trials that failed: some of the study diverge."""
_TPE = 'name = "tpe"\nn_startup_trials = 2'
_PRUNER = '[pruner]\nname = "asha"\nfirst_rung = 2\nreduction_factor = 2\n'
INDEPENDENT = SPACE.replace(_TPE, 'name = "random"').replace(_PRUNER, "")
"""No trial depends on when another ends: three at once do what one after the other would."""


@pytest.fixture
def undisturbed(tmp_path: Path, data_folder: Path, migrated_database: Path) -> StudyRecord:
    """The study on this machine alone, in a directory, one trial after the other."""
    (tmp_path / "alone").mkdir()
    chaos = ChaosStudy(tmp_path / "alone", data_folder, migrated_database, space=INDEPENDENT)
    chaos.trials = TRIALS
    try:
        chaos.ends_with(chaos.start(), FAILED_TRIALS)
        return chaos.record()
    finally:
        chaos.close()


@pytest.fixture
def cluster(stack_access: LocalStack) -> Iterator[LocalStack]:
    """The stack with a head and three nodes."""
    folder = stack_access.place.folder
    try:
        command("up", folder, "--nodes", "3")
        yield stack_access._replace(environment=sourced(folder / "env"))
    finally:
        command("up", folder, "--nodes", "0")


def test_a_node_joins_and_a_node_dies(
    undisturbed: StudyRecord,
    cluster: LocalStack,
    tmp_path: Path,
    data_folder: Path,
    migrated_database: Path,
) -> None:
    (tmp_path / "nodes").mkdir()
    chaos = ChaosStudy(tmp_path / "nodes", data_folder, migrated_database, space=INDEPENDENT)
    chaos.trials, chaos.slots = TRIALS, 3
    tracking, store = cluster.environment["SS3D_TRACKING"], cluster.environment["SS3D_STORE"]
    chaos.settings = Settings(home=chaos.settings.home, store=store, tracking=tracking)
    try:
        driver = chaos.start(**cluster.environment)
        chaos.wait_for(lambda: num_open(chaos) == chaos.slots, driver)
        command("up", cluster.place.folder, "--nodes", "4")
        chaos.wait_for(lambda: trains(cluster, 2) and num_open(chaos) == chaos.slots, driver)
        chaos.note()
        cluster.kill("ray-2")
        chaos.wait_for(lambda: trains(cluster, 4), driver)
        assert driver.poll() is None, "the node that joined had nothing to do"
        chaos.ends_with(driver, FAILED_TRIALS)
        check_aftermath(chaos, undisturbed)
        assert num_begun_again(chaos) <= 1
    finally:
        chaos.close()


def num_open(chaos: ChaosStudy) -> int:
    """Return how many trials were begun and have no result yet."""
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
