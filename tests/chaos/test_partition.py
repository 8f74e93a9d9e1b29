"""A node that is cut off while it trains and let back later: its attempt counts for nothing.

Machines are network namespaces, so a cut is a cut. Their disk is one and the store a directory on
it, which is the harder case: whoever is cut off can still write.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from aftermath import check_aftermath
from alone import Alone, curve
from chaos_study import NAME, ChaosStudy, Driver, independent_space
from network import Network, network

from cluster.local import service
from cluster.local.place import Place, write_private
from cluster.local.service import Launch
from ss3d.store import layout
from ss3d.store.bundle import get_bundle
from ss3d.study.environment import ENVIRONMENT
from ss3d.study.spool import Spool
from ss3d.study.uploader import drain
from ss3d.trial.circumstances import read_attempts
from ss3d.trial.history import trial_export

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(os.environ.get("SS3D_CHAOS") != "all", reason="part of `make chaos`"),
]

EPOCHS = 3
TRIAL = "t00000"
PORT = 6379
NODES = (2, 3)
"""Machines that train; the first has Ray's head and the driver."""
LONG = independent_space(120, EPOCHS)
"""Epochs of three seconds or more, so that one is cut through."""
HEALTH = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "4",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "300",
}
"""A node that is cut off is missed soon, and does not end by itself before it is let back."""
GONE_S = 150.0
DRAINED_S = 10.0


class Machine:
    """Ray on a machine, as a service of cluster/local.

    Args:
        net: where the machine is.
        number: of the machine; the first has the head.
    """

    num_ports, passwords, stop_signal = 0, (), signal.SIGTERM

    def __init__(self, net: Network, number: int) -> None:
        self.name = f"machine-{number}"
        self._net, self.number = net, number

    def lacks(self) -> str:
        return ""

    def launch(self, place: Place) -> Launch:
        (place.of(self.name) / "log").unlink(missing_ok=True)
        own = self._net.address(self.number)
        options = [f"--node-ip-address={own}", f"--node-name={self.name}", "--num-gpus=0"]
        options += ["--object-store-memory=100000000", "--disable-usage-stats"]
        if self.number == 1:
            options += ["--head", f"--port={PORT}", "--num-cpus=0", "--include-dashboard=false"]
            options += [f"--temp-dir={place.folder / 't'}"]
        else:
            options += [f"--address={self._net.address(1)}:{PORT}", "--num-cpus=1"]
        ray = Path(sys.executable).parent / "ray"
        command = [*self._net.on(self.number), str(ray), "start", "--block", *options]
        cache = {"SS3D_CACHE": str(cache_of(self, place))}
        return Launch(command, {**os.environ, **ENVIRONMENT, **HEALTH, **access(place), **cache})

    def is_ready(self, place: Place) -> bool:
        return "Ray runtime started" in (place.of(self.name) / "log").read_text()

    def exports(self, place: Place) -> Mapping[str, str]:
        return {}


class Machines(NamedTuple):
    """Ray on a network."""

    net: Network
    place: Place
    running: Sequence[Machine]

    def find(self, process: int) -> Machine:
        """Return the machine that a process runs on."""
        (found,) = (
            machine
            for machine in self.running
            if process in {one.pid for one in service.find_members(machine, self.place)}
        )
        return found


@pytest.fixture
def machines() -> Iterator[Machines]:
    """A head and two nodes, each on a machine of its own."""
    with ExitStack() as on_end:
        try:
            net = on_end.enter_context(network(max(NODES)))
        except OSError as error:
            pytest.skip(f"network namespaces cannot be made here: {error}")
        folder = on_end.enter_context(tempfile.TemporaryDirectory(prefix="ss3d-cut-"))
        place = Place(Path(folder), {}, {})
        write_private(token(place), "a token of this test alone")
        running = [Machine(net, number) for number in (1, *NODES)]
        for machine in running:
            on_end.callback(service.stop, machine, place)
            service.start(machine, place)
        yield Machines(net, place, running)


def test_the_attempt_of_a_node_that_was_cut_off_counts_for_nothing(
    machines: Machines, tmp_path: Path, data_folder: Path, migrated_database: Path
) -> None:
    (tmp_path / "cut").mkdir()
    chaos = ChaosStudy(tmp_path / "cut", data_folder, migrated_database, space=LONG)
    chaos.trials, chaos.within = 2, machines.net.on(1)
    try:
        address = f"{machines.net.address(1)}:{PORT}"
        driver = chaos.start(SS3D_RAY_ADDRESS=address, **access(machines.place))
        before = cut_off_and_let_back(machines, chaos, driver)
        chaos.ends_with(driver, 0)
        assert times_of(before) == before
        record = chaos.record()
        check_aftermath(chaos, record)
        assert [one.result.attempt for one in record.trials if one.result] == [2, 1]
        assert len(read_attempts(chaos.store, key())) == 2
        export = trial_export(chaos.store, NAME, TRIAL)
        assert export == layout.export(NAME, TRIAL, 2)
        get_bundle(chaos.store, export, tmp_path / "best")
        alone = Alone(tmp_path, data_folder)
        for one in record.trials:
            assert curve(one.reports) == alone.train(one.spec)
        alone.close()
    finally:
        chaos.close()


def cut_off_and_let_back(machines: Machines, chaos: ChaosStudy, driver: Driver) -> dict[Path, int]:
    """Cut a node off in the last epoch of its trial until that is finished elsewhere.

    The node is slow as well: it comes to the end of the epoch, and writes, only then.

    Returns:
        The trial's files before that, and when they were written.
    """
    in_last = key("epochs", f"{layout.epoch_name(1, EPOCHS - 1)}.json")
    chaos.wait_for(lambda: chaos.store.get(in_last), driver)
    time.sleep(1)  # the driver has let it go on, and it is in the middle
    (attempt,) = read_attempts(chaos.store, key())
    machine, worker = machines.find(attempt["process"]), psutil.Process(attempt["process"])
    machines.net.plug(machine.number, "down")
    worker.suspend()
    chaos.wait_for(lambda: chaos.store.get(key("result.json")), driver)
    files = files_of(chaos)
    worker.resume()
    chaos.wait_for(
        lambda: chaos.store.get(layout.export(NAME, TRIAL, 1) + "/manifest.json"), driver
    )
    assert driver.poll() is None, "the study ended before the node wrote: there was no danger"
    machines.net.plug(machine.number, "up")
    leader, *_ = service.find_members(machine, machines.place)
    _, alive = psutil.wait_procs([leader, worker], GONE_S)
    assert not alive, "a node that was taken for dead goes on"
    service.start(machine, machines.place)
    spool = Spool(cache_of(machine, machines.place), chaos.store.address)
    assert drain(spool, chaos.store, DRAINED_S)
    return files


def key(*rest: str) -> str:
    return layout.trial(NAME, TRIAL, *rest)


def files_of(chaos: ChaosStudy) -> dict[Path, int]:
    """Return the trial's files and when they were written.

    Not checkpoints, which come and go, and logs, of which each attempt's grows to its end.
    """
    folder = Path(chaos.store.address) / key()
    files = (path for path in folder.rglob("*") if path.is_file())
    return times_of(path for path in files if not {"checkpoints", "log"} & {*path.parts})


def times_of(paths: Iterable[Path]) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in paths}


def access(place: Place) -> dict[str, str]:
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token(place))}


def token(place: Place) -> Path:
    return place.folder / "token"


def cache_of(machine: Machine, place: Place) -> Path:
    return place.of(machine.name) / "cache"
