"""How a search gains from more nodes, and from how many GPUs on its driver would be the limit.

The first is run on a real cluster, with trials that wait instead of training: nodes on one machine
share its cores, waiting needs none. The second is a simulated study with the real plug-ins.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from ss3d.bench.driver import Plugins
from ss3d.bench.overhead import VALUE, no_data, run_study
from ss3d.errors import ConfigError
from ss3d.settings import Settings
from ss3d.study.job import Progress, from_config
from ss3d.study.session import joined
from ss3d.study.simulation import InOrder, Simulation
from ss3d.study.synthetic import synthetic_space, synthetic_study
from ss3d.study.trainable import JobTrainable
from ss3d.trial.records import EpochReport

EPOCHS = 10
EPOCH_S = 0.4


class WaitingJob(JobTrainable):
    """Runs jobs that wait instead of training; pretraining does not even wait."""

    def begin(self, config: dict[str, Any]) -> Generator[Progress, None, None]:
        """Yield an epoch at a time."""
        job, _ = from_config(config)
        if job.kind != "trial":
            yield Progress(1, (_report("pretrain", 1),), is_done=True)
            return
        for epoch in range(1, EPOCHS + 1):
            time.sleep(EPOCH_S)
            yield Progress(1, (_report("semi", epoch),), is_done=epoch == EPOCHS)


def _report(phase: Any, epoch: int) -> EpochReport:
    return EpochReport(
        phase=phase, epoch=epoch, step=epoch, metrics=VALUE, system={"epoch_s": 0.0}, digest=""
    )


@dataclass(frozen=True)
class NodeRun:
    """A study on some nodes of the cluster."""

    nodes: int
    slots: int
    seconds: float
    """From the beginning of the first trial to the end of the last."""
    ideal_s: float
    """If trials followed each other without a gap, and none were left over in the last round."""

    @property
    def efficiency(self) -> float:
        """Return which part of the time was waiting for trials, as it should be."""
        return self.ideal_s / self.seconds


def measure_nodes(
    settings: Settings, num_trials: int, advance: Callable[[int], None]
) -> list[NodeRun]:
    """Run the same study on one node of a cluster, on two, and so on.

    Args:
        settings: with the address of a cluster of nodes with the same number of CPUs.
        num_trials: of each study.
        advance: called with the number of nodes before each run.

    Raises:
        ConfigError: there is no address, or the nodes differ.
        ServiceError: the cluster does not answer.
    """
    cpus = _cpus_of_nodes(settings.ray_address)
    runs = []
    with tempfile.TemporaryDirectory(prefix="ss3d-bench-") as folder:
        home = Path(folder)
        no_data(home)
        local = Settings(home=home, ray_address=settings.ray_address)
        for nodes in range(1, len(cpus) + 1):
            advance(nodes)
            slots = int(nodes * cpus[0])
            ends = run_study(local, f"nodes-{nodes}", num_trials, slots, WaitingJob)
            work_s = EPOCHS * EPOCH_S
            seconds = max(ends) - min(ends) + work_s
            runs.append(NodeRun(nodes, slots, seconds, num_trials * work_s / slots))
    return runs


def _cpus_of_nodes(address: str) -> list[float]:
    if not address:
        raise ConfigError(
            "scaling needs a cluster; start one and say --address, e.g. "
            "`cluster/local/up DIR --nodes 4`, then `. DIR/env`"
        )
    with joined(address):
        nodes = [node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"]]
    cpus = [number for number in nodes if number >= 1]
    if len(set(cpus)) != 1:
        raise ConfigError(f"scaling needs nodes with the same number of CPUs, got {cpus}")
    return cpus


@dataclass(frozen=True)
class Load:
    """What a simulated study asks of its driver."""

    gpus: int
    results: int
    results_per_s: float
    ours_s: float
    """Seconds of our plug-ins in Tune's loop, of all their calls."""
    hours: float
    """Of the study."""
    bound_s: float
    """Seconds that a result costs at most, with all that Ray, Tune and our threads do."""

    @property
    def ours(self) -> float:
        """Return which part of the time our plug-ins are busy."""
        return self.ours_s / (self.hours * 3600)

    @property
    def bound(self) -> float:
        """Return which part of the time the driver is busy at most."""
        return self.results_per_s * self.bound_s

    @property
    def saturated_gpus(self) -> float:
        """Return from how many GPUs on the driver may be the limit."""
        return self.gpus / self.bound


def measure_load(
    gpus: Sequence[int], num_trials: int, epoch_s: float, bound_s: float
) -> list[Load]:
    """Simulate a study on more and more GPUs, a trial on each.

    Args:
        gpus: numbers of GPUs.
        num_trials: of the study.
        epoch_s: mean seconds of an epoch.
        bound_s: seconds that a result costs at most.
    """
    study, space = synthetic_study(num_trials), synthetic_space()
    reports = [report for trial in study.trials for report in trial.reports]
    mean_s = statistics.mean(report.system["epoch_s"] for report in reports)
    loads = []
    for number in gpus:
        simulation = Simulation(study, space, num_trials, number, InOrder(study.trials))
        plugins = Plugins(simulation)
        outcome = simulation.run(plugins)
        samples = plugins.samples
        results = len(samples["on_trial_result"]) + len(samples["on_trial_complete"])
        seconds = outcome.makespan_s * epoch_s / mean_s
        ours_s = sum(sum(each) for each in samples.values())
        loads.append(Load(number, results, results / seconds, ours_s, seconds / 3600, bound_s))
    return loads
