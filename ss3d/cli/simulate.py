"""`ss3d simulate`: a finished study under another sampler, pruner or number of GPUs."""

from __future__ import annotations

import itertools
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from ss3d.cli.opening import HomeOption, StoreOption
from ss3d.cli.options import StudyArgument
from ss3d.cli.output import JsonFlag, console, emit
from ss3d.settings import load_settings
from ss3d.store import layout
from ss3d.store.opening import open_store

if TYPE_CHECKING:
    from ss3d.study.job import JobKind
    from ss3d.study.replayed import Summary


def simulate(
    study: StudyArgument,
    pruner: Annotated[
        list[str] | None,
        typer.Option("--pruner", metavar="NAME[:KEY=VALUE,…]", help="May be repeated."),
    ] = None,
    sampler: Annotated[
        list[str] | None,
        typer.Option("--sampler", metavar="NAME[:KEY=VALUE,…]", help="May be repeated."),
    ] = None,
    gpus: Annotated[
        list[int] | None, typer.Option("--gpus", min=1, help="GPUs; may be repeated.")
    ] = None,
    slots: Annotated[
        list[int] | None, typer.Option("--slots", min=1, help="Jobs at once; may be repeated.")
    ] = None,
    space: Annotated[
        Path | None,
        typer.Option("--space", help="Take the sampler, pruner and budget of a file."),
    ] = None,
    trials: Annotated[
        int | None, typer.Option("--trials", min=1, help="Budget; at most the finished trials.")
    ] = None,
    target: Annotated[
        float | None, typer.Option("--target", help="Value to reach; default: the study's best.")
    ] = None,
    home: HomeOption = None,
    store: StoreOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Replay a finished study's curves in simulated time, and decide anew.

    Jobs take the seconds that their epochs took; Ray, the store and the driver
    take none. Every pretrained state is trained once, whoever made it.

    Without --sampler trials come as they were proposed. With one, each proposal
    becomes the nearest trial of its stratum that is left: parameters are scaled
    to 0 .. 1 as Optuna sees them, two choices are 1 apart. So when all trials of
    the study are used, only their order differs; see --trials.

    A curve that was stopped cannot go on. A trial that would is censored: it ends
    there and is counted. Studies with pruner "none" have no such trials.

    Examples:
      ss3d simulate quickstart
      ss3d simulate quickstart --pruner none --pruner asha:reduction_factor=4
      ss3d simulate paper --sampler tpe --sampler random --trials 40 --gpus 4
    """
    from ss3d.study.replays import Variant, open_recorded

    opened = open_store(load_settings(home=home, store=store).store_address)
    recorded = open_recorded(opened, layout.check_study_name(study), space, trials, target)
    own = recorded.original.slots
    counts = [*(slots or []), *(recorded.slots_of_gpus(number) for number in gpus or [])]
    samplers = sampler or [recorded.varied.sampler.name if space else None]
    pruners = pruner or [recorded.varied.pruner.name if space else None]
    chosen = itertools.product(samplers, pruners, counts or [own])
    variants = dict.fromkeys([Variant(None, None, own), *(Variant(*each) for each in chosen)])
    summaries = [recorded.original, *map(recorded.replay, variants)]
    value = {
        "study": study,
        **recorded.space.objectives.as_spec(),
        "targets": recorded.targets,
        "rows": [_as_values(summary) for summary in summaries],
    }
    emit(value, as_json, lambda: _say(summaries))


def _as_values(summary: Summary) -> dict[str, Any]:
    times = {"trained_s": summary.trained_s, "utilization": summary.utilization}
    return asdict(summary) | times


def _say(summaries: list[Summary]) -> None:
    console.print(_table(summaries))
    for number, summary in enumerate(summaries[1:], start=1):
        total = sum(summary.counts.values())
        note = f"; ended because {summary.refused}" if summary.refused else ""
        line = f"{number}: {summary.name}; {summary.num_same} of {total} end as recorded{note}"
        console.print(line, highlight=False, soft_wrap=True)
    if any("censored" in summary.counts for summary in summaries):
        console.print(
            "censored: would have gone on, but the recorded trial was stopped there; the best may "
            "be better and the times longer than shown",
            soft_wrap=True,
        )


def _table(summaries: list[Summary]) -> Table:
    """Return one column per study: the original, then its variants by their numbers."""
    from ss3d.report.leaderboard import describe_values, duration

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for name in ("as it ran", *map(str, range(1, len(summaries)))):
        table.add_column(name, justify="right", no_wrap=True)
    strata = {describe_values(best.stratum): best.stratum for best in summaries[0].best}
    for name, stratum in strata.items():
        found = [next((b for b in s.best if b.stratum == stratum), None) for s in summaries]
        table.add_row(f"best {name}".rstrip(), *(f"{b.value:.3f}" if b else "–" for b in found))
    for state in ("complete", "pruned", "censored", "failed"):
        table.add_row(state, *(str(s.counts.get(state, 0)) for s in summaries))
    kinds: dict[str, JobKind] = {
        "pretraining": "pretrain",
        "teacher-student": "trial",
        "controls": "control",
    }
    for name, kind in kinds.items():
        table.add_row(name, *(duration(s.seconds[kind]) for s in summaries))
    table.add_row("wall clock", *(duration(s.makespan_s) for s in summaries))
    table.add_row("slots in use", *(f"{s.utilization:.0%} of {s.slots}" for s in summaries))
    times = (s.target_s for s in summaries)
    table.add_row("time to target", *("never" if t is None else duration(t) for t in times))
    return table
