"""`ss3d bench scaling`: more nodes, and how many GPUs one driver can serve."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from ss3d.cli.opening import HomeOption
from ss3d.cli.output import JsonFlag, console, emit, errors
from ss3d.settings import load_settings

if TYPE_CHECKING:
    from ss3d.bench.scaling import Load, NodeRun


def scaling(
    trials: Annotated[int, typer.Option("--trials", min=4, help="Of the real studies.")] = 24,
    gpus: Annotated[
        list[int] | None, typer.Option("--gpus", min=1, help="Simulated; may be repeated.")
    ] = None,
    simulated: Annotated[
        int, typer.Option("--simulated", min=100, help="Trials of the simulated studies.")
    ] = 10000,
    epoch_s: Annotated[
        float, typer.Option("--epoch-s", min=0.01, help="Seconds of a simulated epoch.")
    ] = 30.0,
    address: Annotated[
        str | None, typer.Option("--address", help="Ray cluster of equal nodes.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Run one study on 1, 2, ... nodes of a cluster; simulate it on many GPUs.

    Trials of the real studies wait for 10 epochs of 0.4 s instead of training, so
    nodes may share one machine's cores. Efficiency is the time that the trials
    wait, divided over the slots, by the time from the first one's begin to the
    last one's end: what is missing is starting processes, Ray, Tune and ss3d.

    The simulated studies run the real board and plug-ins. A result costs the
    driver at most as much as a whole trial that does nothing, which is measured
    first: proposed, sealed, started, reported, written, one at a time.

    Examples:
      cluster/local/up stack --nodes 4; source stack/env
      ss3d bench scaling
      ss3d bench scaling --gpus 256 --gpus 1024 --epoch-s 5 --json
    """
    from ss3d.study.environment import prepare_environment

    settings = load_settings(home=home, ray_address=address)
    prepare_environment(settings.home, settings.ray_address)
    from ss3d.bench.overhead import seconds_per_trial
    from ss3d.bench.scaling import measure_load, measure_nodes
    from ss3d.bench.timing import surroundings

    around = surroundings()
    with errors.status("trials that do nothing") as status:
        runs = measure_nodes(
            settings, trials, lambda nodes: status.update(f"{trials} trials, nodes: {nodes}")
        )
        status.update("trials that do nothing")
        bound_s = seconds_per_trial(300)
        status.update(f"{simulated} simulated trials")
        loads = measure_load(sorted(gpus or [16, 64, 256]), simulated, epoch_s, bound_s)
    value = {
        "machine": around,
        "nodes": [asdict(run) | {"efficiency": run.efficiency} for run in runs],
        "simulated": [
            asdict(load)
            | {"ours": load.ours, "bound": load.bound, "saturated_gpus": load.saturated_gpus}
            for load in loads
        ],
    }

    def say() -> None:
        _say_nodes(runs)
        _say_loads(loads, simulated, epoch_s)

    emit(value, as_json, say)


def _say_nodes(runs: list[NodeRun]) -> None:
    table = Table("nodes", "slots", "seconds", "ideal", "efficiency", box=SIMPLE_HEAD)
    for run in runs:
        cells = (f"{run.seconds:.1f}", f"{run.ideal_s:.1f}", f"{run.efficiency:.0%}")
        table.add_row(str(run.nodes), str(run.slots), *cells)
    console.print(table)


def _say_loads(loads: list[Load], trials: int, epoch_s: float) -> None:
    table = Table("GPUs", "hours", "results/s", "our plug-ins", "driver", "limit", box=SIMPLE_HEAD)
    for load in loads:
        table.add_row(
            str(load.gpus),
            f"{load.hours:.1f}",
            f"{load.results_per_s:.2f}",
            f"{load.ours:.3%}",
            f"at most {load.bound:.1%}",
            f"{load.saturated_gpus:,.0f} GPUs",
        )
    console.print(table)
    console.print(
        f"{trials} simulated trials, {epoch_s:g} s per epoch; at most "
        f"{1e3 * loads[0].bound_s:.1f} ms of the driver per result",
        highlight=False,
    )
