"""The kill matrix: real processes, real kills, one aftermath.

Continuous integration runs a few cases. The whole matrix, with its table at the end:

    make chaos                 # SS3D_CHAOS=all pytest tests/chaos
    SS3D_CHAOS_SEED=7 make chaos
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from aftermath import check_aftermath
from chaos_study import (
    NAME,
    SEED,
    ChaosStudy,
    Driver,
    family_of,
    raylet_of,
    workers_of,
)
from s3.s3_server import S3Server

from ss3d.store import layout
from ss3d.store.bundle import checkpoints
from ss3d.store.lease import is_held
from ss3d.study.spool import Spool
from ss3d.study.stopping import ask_to_stop
from ss3d.study.uploader import drain
from ss3d.tracking.server import serve_pages
from ss3d.trial.records import StudyRecord

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

NUM_POINTS = 12
AWAY_S = 15.0
LEASE_S = 3.0
FAILED_TRIALS = 6
"""Exit code of a search with trials that failed: some of the study diverge."""


class Undisturbed(NamedTuple):
    """The study as it is when nobody disturbs it."""

    record: StudyRecord
    total: int


def driver_is_killed(chaos: ChaosStudy) -> None:
    driver = chaos.start()
    chaos.wait_for_chance(driver)
    chaos.kill(driver)


def driver_is_terminated(chaos: ChaosStudy) -> None:
    driver = chaos.start()
    chaos.wait_for_chance(driver, 0.2, 0.8)
    chaos.signal(signal.SIGTERM, driver)
    chaos.ends_with(driver, 130)
    chaos.note()


def user_stops_the_study(chaos: ChaosStudy) -> None:
    driver = chaos.start()
    chaos.wait_for_chance(driver, 0.2, 0.8)
    ask_to_stop(chaos.store, NAME)
    chaos.ends_with(driver, 130)
    assert list(chaos.store.list(layout.study(NAME, "requests") + "/")) == []
    chaos.note()


def driver_is_killed_before_the_first_trial(chaos: ChaosStudy) -> None:
    driver = chaos.start()
    chaos.wait_for(lambda: chaos.store.get(layout.study(NAME, "study.json")), driver)
    chaos.kill(driver)


def driver_is_stopped_past_its_lease(chaos: ChaosStudy) -> None:
    """Another one takes over; when the first goes on, it leaves without harm."""
    first = chaos.start(SS3D_LEASE_S=str(LEASE_S))
    chaos.wait_for_chance(first, 0.2, 0.6)
    chaos.signal(signal.SIGSTOP, first)
    chaos.note()
    time.sleep(LEASE_S + 1)
    second, before = chaos.start(SS3D_LEASE_S=str(LEASE_S)), chaos.progress()
    chaos.wait_for(lambda: chaos.progress() > before + 3, second)
    chaos.signal(signal.SIGCONT, first)
    chaos.ends_with(first, 5)
    chaos.ends_with(second, FAILED_TRIALS)


def two_drivers_at_once(chaos: ChaosStudy) -> None:
    first = chaos.start()
    chaos.wait_for(lambda: is_held(chaos.store, layout.study(NAME, "driver.lease")), first)
    chaos.ends_with(chaos.start(), 5)
    chaos.ends_with(first, FAILED_TRIALS)


def worker_is_killed(chaos: ChaosStudy) -> None:
    driver = chaos.start()
    chaos.wait_for_chance(driver, 0.3, 0.7)
    _kill_workers(chaos, driver)


def producer_is_killed(chaos: ChaosStudy) -> None:
    driver = chaos.start()
    chaos.wait_for(lambda: _begun_pretrains(chaos), driver)
    time.sleep(0.3 * chaos.chance.random())
    _kill_workers(chaos, driver)


def raylet_is_killed(chaos: ChaosStudy) -> None:
    driver = chaos.start()
    chaos.wait_for_chance(driver, 0.2, 0.7)
    (raylet,) = raylet_of(driver)
    chaos.signal(signal.SIGKILL, raylet)
    chaos.ends_with(driver, 1, 4, FAILED_TRIALS)  # Ray may end the process that it serves
    chaos.note()


def everything_is_killed(chaos: ChaosStudy) -> None:
    driver = chaos.start()
    chaos.wait_for_chance(driver, 0.2, 0.8)
    chaos.kill(driver, family_of(driver))


def store_is_away(chaos: ChaosStudy, server: S3Server) -> None:
    driver = chaos.start()
    chaos.wait_for_chance(driver, 0.2, 0.6)
    server.process.send_signal(signal.SIGSTOP)
    try:
        time.sleep(AWAY_S)
    finally:
        server.process.send_signal(signal.SIGCONT)
    chaos.ends_with(driver, FAILED_TRIALS)


def mlflow_is_away(chaos: ChaosStudy) -> None:
    """From the third second to the end; then it is there again, and a sync writes all."""
    embedded = chaos.settings
    with serve_pages(embedded, 0) as (address, server):
        chaos.settings = embedded.model_copy(update={"tracking": address})
        driver = chaos.start()
        time.sleep(3)
        for process in (*psutil.Process(server.pid).children(recursive=True), server):
            process.kill()
    chaos.ends_with(driver, FAILED_TRIALS)
    chaos.on_end.enter_context(serve_pages(embedded, int(address.rpartition(":")[2])))


def disk_is_full(chaos: ChaosStudy) -> None:
    home = chaos.settings.home
    home.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(home)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode:
        pytest.skip("a small disk needs the right to mount one")
    chaos.on_end.callback(subprocess.run, ["umount", "--lazy", str(home)], check=True)
    driver = chaos.start()
    chaos.wait_for_chance(driver, 0.2, 0.6)
    filler = home / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    with suppress(subprocess.TimeoutExpired):
        driver.wait(AWAY_S)
    filler.unlink()
    chaos.ends_with(driver, 4, FAILED_TRIALS)
    chaos.note()


def newest_checkpoint_is_tampered_with(chaos: ChaosStudy) -> None:
    """A byte of a killed trial's newest checkpoint is another: it goes on from the older one."""
    while not (found := _doubly_kept(chaos)):
        driver = chaos.start()
        chaos.wait_for(lambda: _doubly_kept(chaos), driver)
        chaos.kill(driver, family_of(driver))
        assert drain(Spool(chaos.settings.cache_dir, chaos.store.address), chaos.store, 30)
        assert not all(trial.result for trial in chaos.record().trials)
    path = Path(chaos.store.address) / found / "student.safetensors"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    chaos.story.append(found)


@dataclass(frozen=True)
class Case:
    """One harm."""

    name: str
    harm: Callable[..., None]
    is_quick: bool = False
    """Whether continuous integration runs it."""
    on_s3: bool = False


CASES = [
    *(
        Case(f"driver-killed-{number + 1:02d}", driver_is_killed, is_quick=number == 0)
        for number in range(NUM_POINTS)
    ),
    Case("driver-terminated", driver_is_terminated),
    Case("user-stops-the-study", user_stops_the_study),
    Case("killed-before-the-first-trial", driver_is_killed_before_the_first_trial),
    Case("driver-stopped-past-its-lease", driver_is_stopped_past_its_lease, is_quick=True),
    Case("two-drivers", two_drivers_at_once),
    Case("worker-killed", worker_is_killed, is_quick=True),
    Case("producer-killed", producer_is_killed),
    Case("raylet-killed", raylet_is_killed),
    Case("everything-killed", everything_is_killed),
    Case("store-away", store_is_away, on_s3=True),
    Case("mlflow-away", mlflow_is_away),
    Case("disk-full", disk_is_full),
    Case("checkpoint-tampered-with", newest_checkpoint_is_tampered_with),
]
CHOSEN = [case for case in CASES if case.is_quick or os.environ.get("SS3D_CHAOS") == "all"]


@pytest.fixture(scope="session")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, data_folder: Path, migrated_database: Path
) -> Undisturbed:
    chaos = ChaosStudy(tmp_path_factory.mktemp("undisturbed"), data_folder, migrated_database)
    try:
        chaos.ends_with(chaos.start(), FAILED_TRIALS)
        record = chaos.record()
        check_aftermath(chaos, record)
        assert {trial.state for trial in record.trials} == {"complete", "pruned", "failed"}
        return Undisturbed(record, chaos.progress())
    finally:
        chaos.close()


@pytest.fixture
def make_chaos(
    tmp_path: Path, data_folder: Path, migrated_database: Path, undisturbed: Undisturbed
) -> Iterator[Callable[[str], ChaosStudy]]:
    made: list[ChaosStudy] = []

    def make(name: str) -> ChaosStudy:
        (tmp_path / name).mkdir()
        made.append(ChaosStudy(tmp_path / name, data_folder, migrated_database, undisturbed.total))
        return made[-1]

    yield make
    for chaos in made:
        chaos.close()


@pytest.mark.parametrize("case", CHOSEN, ids=[case.name for case in CHOSEN])
def test_kill_matrix(
    case: Case,
    make_chaos: Callable[[str], ChaosStudy],
    undisturbed: Undisturbed,
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
) -> None:
    chaos = make_chaos(case.name)
    arguments = []
    if case.on_s3:
        address = request.getfixturevalue("s3_address")
        chaos.settings = chaos.settings.model_copy(update={"store": address})
        arguments.append(request.getfixturevalue("s3_access"))
    try:
        case.harm(chaos, *arguments)
        chaos.ends_with(chaos.start(), FAILED_TRIALS)
        check_aftermath(chaos, undisturbed.record)
    finally:
        record_property("story", f"seed {SEED}: {', '.join(chaos.story)}")


def _kill_workers(chaos: ChaosStudy, driver: Driver) -> None:
    """Kill what trains; the driver goes on by itself."""
    workers = workers_of(driver)
    assert workers
    for worker in workers:
        chaos.signal(signal.SIGKILL, worker)
    psutil.wait_procs(workers, timeout=30)
    chaos.note()
    chaos.ends_with(driver, FAILED_TRIALS)


def _begun_pretrains(chaos: ChaosStudy) -> list[str]:
    return [key for key in chaos.store.list("pretrains/") if "/attempts/" in key]


def _doubly_kept(chaos: ChaosStudy) -> str:
    """Return the newest checkpoint of a trial that has two and no result; empty if none has."""
    store, trials = chaos.store, layout.study(NAME, "trials") + "/"
    for name in sorted({key.removeprefix(trials).split("/")[0] for key in store.list(trials)}):
        kept = checkpoints(store, layout.trial(NAME, name, "checkpoints"))
        if len(kept) > 1 and store.get(layout.trial(NAME, name, "result.json")) is None:
            return kept[-1]
    return ""
