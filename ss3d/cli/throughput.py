"""`ss3d bench tracking`: what MLflow takes, and what it costs when it takes nothing."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.progress import Progress
from rich.table import Table

from ss3d.cli.opening import HomeOption
from ss3d.cli.output import JsonFlag, console, emit, errors
from ss3d.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ss3d.bench.outage import Outage
    from ss3d.bench.tracking import Throughput


def tracking(
    trials: Annotated[int, typer.Option("--trials", min=2, help="That run at once.")] = 20,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Of every client.")] = 3,
    searches: Annotated[
        int, typer.Option("--searches", min=0, help="With MLflow and without; 0 makes none.")
    ] = 3,
    server: Annotated[
        str | None, typer.Option("--tracking", help="MLflow server; default: one is started.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Measure points a second into MLflow, ours beside its own clients, on one server.

    All write the epochs of trials of the default length, with every value that a
    trial reports, and take turns; time ends when the server has everything, which is
    read back. Ours write parameters, tags and the study's run as well. The clients
    that send a request per point write a tenth of the trials.
    Without --tracking a server on an SQLite file is started, and ended again.

    Then small searches beside a server on this machine, which is halted from second
    3 of every other one, in turn: seconds from one end of a trial to the next.

    Examples:
      ss3d bench tracking
      ss3d bench tracking --searches 0 --tracking http://mlflow:5000 --json
    """
    from ss3d.study.environment import prepare_environment
    from ss3d.tracking.connection import prepare_environment as prepare_mlflow

    settings = load_settings(home=home)
    prepare_environment(settings.home)
    prepare_mlflow()
    from ss3d.bench.outage import measure_outage
    from ss3d.bench.timing import surroundings
    from ss3d.bench.tracking import CLIENTS, make_trials, measure_throughput, speedup

    around = surroundings()
    with ExitStack() as stack:
        bar = stack.enter_context(Progress(console=errors, transient=True))
        task = bar.add_task("MLflow", total=repeats * len(CLIENTS) + 2 * searches)
        address = server or _started(stack)
        folder = stack.enter_context(TemporaryDirectory(prefix="ss3d-bench-"))
        records = make_trials(trials, Path(folder))
        found = measure_throughput(address, records, repeats, lambda: bar.advance(task))
        outage = measure_outage(trials, searches, lambda: bar.advance(task)) if searches else None
    value = {
        "machine": around,
        "throughput": [asdict(one) | {"points_per_s": one.points_per_s} for one in found],
        "ratio": speedup(found),
        "seconds_per_trial": asdict(outage) | {"ratio": outage.ratio} if outage else None,
    }
    emit(value, as_json, lambda: _say(found, speedup(found), outage))


def _started(stack: ExitStack) -> str:
    """Start a server on an SQLite file in a folder that goes with it; return its address."""
    from ss3d.tracking.server import serve_pages

    folder = stack.enter_context(TemporaryDirectory(prefix="ss3d-bench-"))
    address, _ = stack.enter_context(serve_pages(Settings(home=Path(folder)), 0))
    return address


def _say(found: Sequence[Throughput], ratio: float, outage: Outage | None) -> None:
    columns = ("client", "trials", "points", "requests", "seconds", "from", "to", "points/s")
    table = Table(*columns, box=SIMPLE_HEAD, pad_edge=False)
    for one in found:
        seconds = (f"{s:.2f}" for s in (one.seconds.median, one.seconds.low, one.seconds.high))
        table.add_row(
            one.client,
            str(one.trials),
            str(one.points),
            f"{one.requests:g}",
            *seconds,
            f"{one.points_per_s:.0f}",
        )
    console.print(table)
    console.print(f"the projector over log_metric: {ratio:.1f} ×", highlight=False)
    if outage is None:
        return
    table = Table("per trial", "median", "from", "to", box=SIMPLE_HEAD, pad_edge=False)
    for name, of in (("MLflow there", outage.there), ("MLflow away", outage.away)):
        table.add_row(name, *(f"{s:.3f} s" for s in (of.median, of.low, of.high)))
    console.print(table)
    change, low, high = (100 * (ratio - 1) for ratio in (outage.ratio, *outage.interval))
    console.print(f"without MLflow: {change:+.1f} % ({low:+.1f} to {high:+.1f})", highlight=False)
