"""`ss3d bench savings`: what sharing and stopping save, measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from ss3d.cli.manifest_table import progress_bar
from ss3d.cli.output import JsonFlag, console, emit, errors
from ss3d.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ss3d.bench.cell import Cell
    from ss3d.bench.savings import Bench, Table, Way

_NUM_MODELS = 320


def savings(
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Folder of all files; goes on with what is there."),
    ] = Path("ss3d-data/bench/savings"),
    data: Annotated[
        str | None, typer.Option(help="Prepared data set; default: a procedural one is made.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Per way; default 3.")] = None,
    trials: Annotated[
        int | None,
        typer.Option(min=4, help="Of the first table; the second has twice; default 32."),
    ] = None,
    slots: Annotated[int, typer.Option(min=1, help="Trials at once.")] = 2,
    quick: Annotated[
        bool, typer.Option("--quick", help="Two minutes: 1 seed, 8 short trials, random.")
    ] = False,
    picture: Annotated[Path | None, typer.Option(help="savings.png or .pdf.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Search the same study in several ways; compare what they cost and found.

    Plain is Ray Tune with random search, as a user would write it. Beside it,
    with the same values: Tune with its ASHA; ss3d with shared pretraining; ss3d
    with sharing and stopping. Then two that learn from what they tried: ss3d
    with both and TPE, Tune's OptunaSearch with ASHA. All stop at the same rungs.
    A second table has twice as many trials over a third of the pretrain keys.

    Takes an hour on two idle cores. What was searched is kept in the
    folder, so an interrupted run goes on where it stopped.

    Examples:
      ss3d bench savings --quick
      ss3d bench savings -o bench --picture savings.png --json
    """
    from ss3d.bench.savings import Bench, tables
    from ss3d.bench.savings_summary import (
        describe_goal,
        summarize,
        summary_as_values,
        summary_table,
    )
    from ss3d.report.anytime_plot import FORMATS

    if picture is not None and picture.suffix not in FORMATS:
        raise ConfigError(f"--picture: got {picture.name!r}, expected {', '.join(FORMATS)}")
    bench = Bench(output, data or _make_data(output / "data"), slots)
    asked = tables(trials or (8 if quick else 32), quick)
    found = [
        (table, _measure(bench, table, range(seeds or (1 if quick else 3)))) for table in asked
    ]
    summaries = [summarize(table, cells) for table, cells in found]
    if picture is not None:
        from ss3d.bench.savings_plot import draw_savings

        draw_savings(picture, found)

    def say() -> None:
        for summary in summaries:
            console.print(summary_table(summary))
            console.print(describe_goal(summary), highlight=False)
        if picture is not None:
            console.print(f"written: {picture}", highlight=False, soft_wrap=True)

    emit([summary_as_values(summary) for summary in summaries], as_json, say)


def _make_data(folder: Path) -> str:
    """Return the address of the procedural data set, made if it is not there."""
    from ss3d.data.items import Shape
    from ss3d.data.manifest import MANIFEST_KEY
    from ss3d.data.procedural import NUM_POINTS, prepare_procedural
    from ss3d.store.opening import open_store

    store = open_store(str(folder))
    if store.get(MANIFEST_KEY) is None:
        shape = Shape(num_views=4, image_size=32, num_points=NUM_POINTS)
        with progress_bar("Making data") as progress:
            prepare_procedural(store, "savings", _NUM_MODELS, 0, shape, progress)
    return store.address


def _measure(bench: Bench, table: Table, seeds: Sequence[int]) -> list[Cell]:
    """Measure a table under a bar of all its trials; without a terminal, a line per search."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    num_trials = table.shape.num_trials
    said: set[str] = set()
    searches = [(way, seed) for seed in seeds for way in table.ways]
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True) as bar:
        task = bar.add_task("", total=len(searches) * num_trials)

        def on_search(way: Way, seed: int, ended: int) -> None:
            title = f"{num_trials} trials, seed {seed}: {way.label}"
            done = searches.index((way, seed)) * num_trials + ended
            bar.update(task, completed=done, description=title)
            if title not in said and not errors.is_terminal:
                said.add(title)
                errors.print(Text(title))

        return bench.measure(table, seeds, on_search)
