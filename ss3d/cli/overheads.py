"""`ss3d bench driver` and `ss3d bench overhead`: what a search costs besides its training."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.progress import Progress, track
from rich.table import Table

from ss3d.cli.opening import HomeOption
from ss3d.cli.output import JsonFlag, console, emit, errors
from ss3d.settings import load_settings

if TYPE_CHECKING:
    from ss3d.bench.driver import AskCost, DriverCost
    from ss3d.bench.timing import Latency, Spread

_MS = 1e3


def driver(
    trials: Annotated[
        list[int] | None, typer.Option("--trials", min=1, help="Sizes of study; may be repeated.")
    ] = None,
    sampler: Annotated[
        list[str] | None,
        typer.Option("--sampler", metavar="NAME[:KEY=VALUE,…]", help="May be repeated."),
    ] = None,
    home: HomeOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Measure the driver's steps with thousands of simulated trials: no Ray, no store.

    Tune's plug-ins are called as Tune calls them, on synthetic curves under ASHA;
    memory is that of the whole study at its end. Ask is a whole proposal after so
    many finished trials in three strata, tell what makes a result known to it.

    Examples:
      ss3d bench driver
      ss3d bench driver --trials 1000 --sampler tpe --sampler random --json
    """
    from ss3d.study.environment import prepare_environment

    prepare_environment(load_settings(home=home).home)
    from ss3d.bench.driver import measure_ask, measure_driver
    from ss3d.bench.timing import surroundings

    sizes = sorted(trials or [1000, 10000])
    around = surroundings()
    costs = [measure_driver(n) for n in track(sizes, "driver", console=errors, transient=True)]
    wanted = [(name, size) for name in sampler or ["random", "tpe"] for size in sizes]
    asks = [measure_ask(*each) for each in track(wanted, "ask", console=errors, transient=True)]
    value = {
        "machine": around,
        "driver": [asdict(cost) for cost in costs],
        "growth": _growth(costs),
        "ask": [asdict(ask) for ask in asks],
    }
    emit(value, as_json, lambda: _say_driver(costs, asks, around))


def overhead(
    trials: Annotated[int, typer.Option("--trials", min=4, help="Per run.")] = 300,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Runs of each kind.")] = 3,
    slots: Annotated[int, typer.Option("--slots", min=1, help="Trials at once.")] = 1,
    home: HomeOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Measure seconds per trial that does nothing: our search beside plain Ray Tune.

    All three take turns in one run, each in a Ray session of its own; seconds are
    from the first end of a trial to the last, so starting Ray counts for none.
    Both have the same environment and no loggers. Ours proposes, seals a spec and
    writes a result for each trial, in threads beside Tune's loop (MainThread);
    plain Tune draws a number and keeps nothing. The processor time of the driver's
    threads says where the difference comes from: they share Python's lock.

    Examples:
      ss3d bench overhead
      ss3d bench overhead --trials 200 --repeats 5 --slots 4 --json
    """
    from ss3d.study.environment import prepare_environment

    prepare_environment(load_settings(home=home).home)
    from ss3d.bench.overhead import measure_overhead
    from ss3d.bench.timing import surroundings

    around = surroundings()
    with Progress(console=errors, transient=True) as bar:
        task = bar.add_task("ours, reused, fresh", total=3 * repeats)
        found = measure_overhead(trials, repeats, slots, lambda: bar.advance(task))
    spreads = {
        "ss3d": found.ours,
        "Tune, reuse_actors=True": found.reused,
        "Tune, reuse_actors=False": found.fresh,
    }
    value = {
        "machine": around,
        "trials": trials,
        "repeats": repeats,
        "slots": slots,
        "seconds_per_trial": {name: asdict(of) for name, of in spreads.items()},
        "ratio": found.ratio,
        "processor_seconds_per_trial": found.threads,
    }

    def say() -> None:
        _say_spreads("per trial", spreads)
        console.print(f"ss3d over the better of the others: {found.ratio:.2f} ×", highlight=False)
        _say_threads(found.threads["ours"], found.threads["reused"])
        _say_machine(around)

    emit(value, as_json, say)


def _say_spreads(title: str, spreads: dict[str, Spread]) -> None:
    table = Table(title, "median", "from", "to", box=SIMPLE_HEAD, pad_edge=False)
    for name, of in spreads.items():
        table.add_row(name, *(f"{_MS * s:.2f} ms" for s in (of.median, of.low, of.high)))
    console.print(table)


def _say_threads(ours: dict[str, float], plain: dict[str, float]) -> None:
    table = Table("processor time per trial", "ss3d", "Tune", box=SIMPLE_HEAD, pad_edge=False)
    for name in {**ours, **plain}:
        cells = (f"{_MS * each[name]:.2f} ms" if name in each else "" for each in (ours, plain))
        table.add_row(name, *cells)
    console.print(table)


def _growth(costs: list[DriverCost]) -> dict[str, float]:
    """Return how many times more the largest study costs than the smallest."""
    first, last = costs[0], costs[-1]
    ratios = {call: last.calls[call].p99_s / first.calls[call].p99_s for call in first.calls}
    return {
        "trials": last.num_trials / first.num_trials,
        **{f"{call}_p99": ratio for call, ratio in ratios.items()},
        "memory": last.memory_mib / first.memory_mib,
    }


def _say_driver(costs: list[DriverCost], asks: list[AskCost], around: dict[str, Any]) -> None:
    table = Table("call", "trials", "p50", "p99", "calls", box=SIMPLE_HEAD, pad_edge=False)
    for call in costs[0].calls:
        for cost in costs:
            table.add_row(call, str(cost.num_trials), *_cells(cost.calls[call]))
    for ask in asks:
        table.add_row(f"ask {ask.sampler}", str(ask.num_trials), *_cells(ask.ask))
    for ask in asks[: len(costs)]:
        table.add_row("tell", str(ask.num_trials), *_cells(ask.tell))
    for cost in costs:
        table.add_row("memory", str(cost.num_trials), f"{cost.memory_mib:.1f} MiB")
    console.print(table)
    if len(costs) > 1:
        growth = _growth(costs)
        words = (f"{name} {ratio:.2f} ×" for name, ratio in growth.items() if name != "trials")
        console.print(f"{growth['trials']:g} × the trials: {', '.join(words)}", highlight=False)
    _say_machine(around)


def _cells(of: Latency) -> tuple[str, str, str]:
    return f"{_MS * of.p50_s:.3f} ms", f"{_MS * of.p99_s:.3f} ms", str(of.count)


def _say_machine(around: dict[str, Any]) -> None:
    load = ", ".join(f"{load:.1f}" for load in around["load_average"])
    console.print(
        f"{around['cpus']} CPUs ({around['system']}), load before it {load}", highlight=False
    )
