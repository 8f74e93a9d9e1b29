"""Looking at studies: `ss3d studies`, `status`, `trials`."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from ss3d.cli.inspection import (
    describe_trial,
    known_gains,
    open_configured,
)
from ss3d.cli.opening import HomeOption, StoreOption
from ss3d.cli.options import StudyArgument
from ss3d.cli.output import JsonFlag, console, emit, errors
from ss3d.config import canonical_json
from ss3d.errors import ConfigError, ServiceError
from ss3d.report.leaderboard import duration, leaderboard, standing
from ss3d.report.leaderboard_table import leaderboard_table
from ss3d.settings import Settings, load_settings
from ss3d.store import layout
from ss3d.trial.objectives import objectives_of

if TYPE_CHECKING:
    from ss3d.report.leaderboard import Row
    from ss3d.store.protocol import Store
    from ss3d.trial.objectives import Objectives
    from ss3d.trial.records import StudyRecord


def studies(home: HomeOption = None, store: StoreOption = None, as_json: JsonFlag = False) -> None:
    """List all studies in the store.

    Examples:
      ss3d studies
      ss3d studies --store s3://bucket/ss3d --json
    """
    from ss3d.trial.history import list_studies, load_study_record

    opened = open_configured(load_settings(home=home, store=store))
    values = [_status(opened, load_study_record(opened, name)) for name in list_studies(opened)]

    def say() -> None:
        if not values:
            console.print(f"no study in {opened.address}; `ss3d search` makes one", soft_wrap=True)
            return
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for name in ("study", "state"):
            table.add_column(name, no_wrap=True)
        for name in ("complete", "pruned", "failed", "running"):
            table.add_column(name, justify="right")
        table.add_column("best")
        table.add_column("time", no_wrap=True)
        for value in values:
            counts = [str(value["counts"][s]) for s in ("complete", "pruned", "failed", "running")]
            best = ", ".join(f"{b['trial']} {b['value']:.3f}" for b in value["best_by_stratum"])
            table.add_row(value["study"], value["state"], *counts, best, duration(value["seconds"]))
        console.print(table)

    emit(values, as_json, say)


def status(
    study: StudyArgument,
    home: HomeOption = None,
    store: StoreOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Say how far a study is.

    Examples:
      ss3d status quickstart
    """
    opened, record = _load(study, home, store)
    value = _status(opened, record) | {"spool": _spool(opened, home)}

    def say() -> None:
        counts = ", ".join(f"{number} {state}" for state, number in value["counts"].items())
        ended = f" ({value['ended']})" if value["ended"] else ""
        line = f"{study}: {value['state']}{ended} · {counts} · {duration(value['seconds'])}"
        console.print(line, soft_wrap=True)
        if value["waiting"]:
            console.print(f"{value['waiting']} enqueued points wait")
        for best in value["best_by_stratum"]:
            where = "".join(f" {path}={item}" for path, item in best["stratum"].items())
            others = f", one of {best['front_size']} on its front" if "front_size" in best else ""
            console.print(f"best{where}: {study}/{best['trial']} {best['value']:.3f}{others}")
        if full := value["spool"]["full"]:
            console.print(Text(f"training pauses: {full}", style="yellow"), soft_wrap=True)

    emit(value, as_json, say)


def trials(
    study: StudyArgument,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")] = False,
    parquet: Annotated[
        Path | None, typer.Option("--parquet", metavar="FILE", help="Write the columns of --csv.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Picture of the Pareto front: front.png or .pdf."),
    ] = None,
    home: HomeOption = None,
    store: StoreOption = None,
    as_json: JsonFlag = False,
) -> None:
    """List a study's trials, the best first.

    With several objectives `front` is the non-dominated rank: nothing beats the trials on front 1.
    With constraints, complete trials that violate one are infeasible and have no rank.

    With controls, `vs control` is the gain in cd_l1 over the trial's own: + better, - worse,
    = not distinguishable; `ss3d gains` tells more.

    Examples:
      ss3d trials quickstart
      ss3d trials quickstart --csv > trials.csv
      ss3d trials quickstart --parquet trials.parquet
      ss3d trials pareto -o front.png
    """
    from ss3d.report.gains import has_controls
    from ss3d.report.gains_tables import gains_as_values

    settings = load_settings(home=home, store=store)
    opened, record = _load(study, home, store)
    is_controlled = has_controls(record.spec)
    gains = known_gains(opened, record.spec, record.trials) if as_json or is_controlled else {}
    rows = leaderboard(record)
    by_name = {trial.spec.trial: trial for trial in record.trials}
    run_ids = _run_ids(settings, record) if as_json else {}
    objectives = objectives_of(record.spec)
    values = [describe_trial(by_name[row.trial]) | standing(row, objectives) for row in rows]
    for value in values:
        known = gains.get(value["trial"])
        value["gains"] = known and gains_as_values(known)
        value["mlflow_run_id"] = run_ids.get(value["trial"])
    if parquet is not None:
        _write_parquet(parquet, _columns(values))
    if output is not None:
        _draw_front(output, rows, objectives, study)

    def say() -> None:
        if as_csv:
            _print_csv(_columns(values))
            return
        column = {name: known.over_control.gain for name, known in gains.items()}
        shown = column if is_controlled else None
        console.print(leaderboard_table(rows, objectives, study, over_control=shown))
        for path in filter(None, (parquet, output)):
            console.print(f"written: {path}", highlight=False, soft_wrap=True)

    emit(values, as_json, say)


def _draw_front(output: Path, rows: list[Row], objectives: Objectives, study: str) -> None:
    from ss3d.report.front_plot import FORMATS, draw_front

    if output.suffix not in FORMATS:
        raise ConfigError(f"--output: got {output.name!r}, expected {', '.join(FORMATS)}")
    if not objectives.are_several:
        raise ConfigError(f"--output: study {study} has one objective, so there is no front")
    draw_front(output, rows, objectives, study)


def _load(study: str, home: Path | None, store: str | None) -> tuple[Store, StudyRecord]:
    from ss3d.trial.history import load_study_record

    opened = open_configured(load_settings(home=home, store=store))
    return opened, load_study_record(opened, layout.check_study_name(study))


def _status(store: Store, record: StudyRecord) -> dict[str, Any]:
    """Return the status of a study: running, complete, or interrupted and resumable."""
    from ss3d.store.lease import is_held
    from ss3d.study.enqueued import num_waiting
    from ss3d.trial.history import read_ended

    counts = Counter(trial.state for trial in record.trials)
    target = _budget(store, record)
    finished = len(record.trials) - counts["running"]
    ended = read_ended(store, record.name)
    state = "complete" if ended or finished >= target else "interrupted"
    if is_held(store, layout.study(record.name, "driver.lease")):
        state = "running"
    seconds = sum(p.seconds for p in record.shared) + sum(
        report.system["epoch_s"] for trial in record.trials for report in trial.reports
    )
    best = _best_by_stratum(record)
    names = ("complete", "pruned", "failed", "running")
    return {
        "study": record.name,
        "state": state,
        "counts": {name: counts[name] for name in names},
        "budget": target,
        "waiting": num_waiting(store, record.name, [trial.spec for trial in record.trials]),
        "ended": ended,
        "best": best[0] if best else None,
        "best_by_stratum": best,
        "seconds": seconds,
    }


def _spool(store: Store, home: Path | None) -> dict[str, Any]:
    """Return what of this node waits for its way into the store, of all studies."""
    from ss3d.study.spool import spool_root, waiting_in, why_full

    settings = load_settings(home=home)
    waiting = waiting_in(spool_root(settings.cache_dir, store.address))
    return {
        "bytes": waiting.num_bytes,
        "since": waiting.since,
        "limit_bytes": settings.spool_bytes,
        "full": why_full(waiting, settings.spool_bytes),
    }


def _best_by_stratum(record: StudyRecord) -> list[dict[str, Any]]:
    """Return the first of each stratum, the best first; with the size of its Pareto front."""
    objectives = objectives_of(record.spec)
    rows = leaderboard(record)
    sizes = Counter(canonical_json(row.stratum) for row in rows if row.front == 1)
    ranked = [
        {"trial": row.trial, "value": row.value, "stratum": dict(row.stratum)}
        | ({"front_size": sizes[canonical_json(row.stratum)]} if objectives.are_several else {})
        for row in rows
        if row.rank == 1 and row.value is not None
    ]
    return sorted(ranked, key=lambda row: objectives.primary.sign * row["value"])


def _budget(store: Store, record: StudyRecord) -> int:
    from ss3d.trial.history import read_budget

    return read_budget(store, record.name, record.spec)


def _run_ids(settings: Settings, record: StudyRecord) -> dict[str, str]:
    """Return the MLflow runs of the trials; none while MLflow is away."""
    from ss3d.tracking.run_index import trial_run_ids

    try:
        return trial_run_ids(settings, record.spec)
    except ServiceError as error:
        errors.print(Text(f"note: {error}; mlflow_run_id is null", style="yellow"))
        return {}


def _columns(values: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Return the columns of a table of trials, None where a trial has no value."""
    params = sorted({path for value in values for path in value["params"]})
    metrics = sorted({name for value in values for name in value["values"]})
    standings = [name for name in ("front", "feasible") if values and name in values[0]]
    return {
        **{name: [value[name] for value in values] for name in ("trial", "state")},
        **{path: [value["params"].get(path) for value in values] for path in params},
        **{name: [value["values"].get(name) for value in values] for name in metrics},
        **{
            name: [value[name] for value in values]
            for name in (*standings, "epochs", "seconds", "reason")
        },
    }


def _print_csv(columns: dict[str, list[Any]]) -> None:
    shown = columns | {"seconds": [f"{seconds:.1f}" for seconds in columns["seconds"]]}
    writer = csv.writer(sys.stdout)
    writer.writerow(shown)
    writer.writerows(zip(*shown.values(), strict=True))


def _write_parquet(path: Path, columns: dict[str, list[Any]]) -> None:
    """Write the columns; choices of several types become JSON texts."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = {}
    for name, values in columns.items():
        try:
            arrays[name] = pa.array(values)
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            arrays[name] = pa.array([None if v is None else canonical_json(v) for v in values])
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(arrays), path)
