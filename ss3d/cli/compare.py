"""`ss3d compare`: two studies of one objective side by side."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from ss3d.cli.opening import HomeOption, StoreOption
from ss3d.cli.options import StratumOption, parse_assignments
from ss3d.cli.output import JsonFlag, console, emit
from ss3d.errors import ConfigError
from ss3d.settings import load_settings
from ss3d.store import layout
from ss3d.store.opening import open_store

if TYPE_CHECKING:
    from ss3d.report.anytime import Comparison, SameBudget, Search


def compare(
    first: Annotated[str, typer.Argument(help="Name of a study.")],
    second: Annotated[str, typer.Argument(help="Name of the study to hold against it.")],
    where: StratumOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Picture: compare.png or .pdf.")
    ] = None,
    home: HomeOption = None,
    store: StoreOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Compare two searches: best value against training time, and best of k trials.

    Both must have the same objective and data. Every study pays for the
    pretrained states that its trials started from, whoever made them. Best of k
    counts a pruned trial with the value that it was stopped at. The verdict is
    at the smaller of both budgets, from five trials of each on.

    Examples:
      ss3d compare random tpe
      ss3d compare random tpe --where data.labeled_ratio=0.1 -o compare.png
    """
    from ss3d.report.anytime import compare as compare_studies
    from ss3d.report.anytime_plot import FORMATS, draw_comparison
    from ss3d.trial.history import load_study_record

    if output is not None and output.suffix not in FORMATS:
        raise ConfigError(f"--output: got {output.name!r}, expected {', '.join(FORMATS)}")
    chosen = parse_assignments(where)
    opened = open_store(load_settings(home=home, store=store).store_address)
    names = [layout.check_study_name(name) for name in (first, second)]
    left, right = (load_study_record(opened, name) for name in names)
    comparison = compare_studies(left, right, chosen)
    if output is not None:
        words = "".join(f" · {path} = {value}" for path, value in chosen.items())
        draw_comparison(output, comparison, f"{first} and {second}{words}")
    value = {
        "objective": comparison.objective.metric,
        "direction": "minimize" if comparison.objective.minimize else "maximize",
        "where": chosen,
        "studies": [_search_as_values(search) for search in comparison.searches],
        "same_budget": asdict(comparison.same_budget),
        "figure": None if output is None else str(output),
    }

    def say() -> None:
        _say(comparison)
        if output is not None:
            console.print(f"written: {output}", highlight=False, soft_wrap=True)

    emit(value, as_json, say)


def _search_as_values(search: Search) -> dict[str, Any]:
    return {"study": search.study, "spent_s": search.spent_s} | {
        "curve": [asdict(point) for point in search.points],
        "best_of_k": [asdict(best) for best in search.best_of],
    }


def _say(comparison: Comparison) -> None:
    from ss3d.report.leaderboard import duration

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("best of k", justify="right")
    for search in comparison.searches:
        table.add_column(f"{search.study} (95 %)", justify="right")
    by_k = [{best.k: best for best in search.best_of} for search in comparison.searches]
    for k in sorted(by_k[0].keys() | by_k[1].keys()):
        found = [of.get(k) for of in by_k]
        cells = [f"{b.mean:.3f} ({b.low:.3f} … {b.high:.3f})" if b else "" for b in found]
        table.add_row(str(k), *cells)
    console.print(table)
    for search in comparison.searches:
        best = search.points[-1].best
        console.print(
            f"{search.study}: {len(search.points)} trials ended in {duration(search.spent_s)} of "
            f"training, best {comparison.objective.metric} {best:.3f}",
            highlight=False,
        )
    names = [search.study for search in comparison.searches]
    console.print(_describe(comparison.same_budget, names), highlight=False)


def _describe(same: SameBudget, names: list[str]) -> str:
    from ss3d.report.leaderboard import duration

    budget = f"within {duration(same.budget_s)} of training"
    if same.difference is None:
        late = " and ".join(n for n, best in zip(names, same.best, strict=True) if best is None)
        return f"{budget}: no verdict, for {late} had no complete trial by then"
    words = ", ".join(
        f"{name} {best:.3f} ({count} trials)"
        for name, best, count in zip(names, same.best, same.num_trials, strict=True)
    )
    if same.verdict is None:
        return f"{budget}: {words}; too few trials to tell whether that is luck"
    interval = f"{same.difference:+.3f}, 95 % {same.low:+.3f} … {same.high:+.3f}"
    if same.verdict == "not distinguishable":
        return f"{budget}: {words}; not distinguishable ({interval})"
    return f"{budget}: {words}; {names[1]} is {same.verdict} ({interval})"
