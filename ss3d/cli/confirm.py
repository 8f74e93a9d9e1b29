"""`ss3d confirm`: the best trials again with fresh seeds, so that luck is not promoted."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from ss3d.cli.opening import DATA, HomeOption, StoreOption, open_prepared
from ss3d.cli.options import (
    AddressOption,
    SlotsOption,
    StudyArgument,
    WhereOption,
    parse_assignments,
)
from ss3d.cli.output import JsonFlag, console, emit, errors
from ss3d.cli.search import check_outcome, run_shown
from ss3d.config import canonical_json
from ss3d.errors import ConfigError, RefusedError
from ss3d.settings import load_settings
from ss3d.store import layout
from ss3d.store.opening import open_store

if TYPE_CHECKING:
    from ss3d.report.confirmed import ConfirmedStratum
    from ss3d.store.protocol import Store
    from ss3d.study.definition import Request
    from ss3d.trial.records import StudyRecord, TrialRecord

_TOP, _SEEDS = 5, 3


@dataclass(frozen=True)
class _Asked:
    """What the user asks of a confirmation; None where it or a default decides."""

    name: str
    top: int | None
    where: dict[str, Any]
    seeds: int | None
    resume: bool
    data: str | None
    slots: int | None


def confirm(
    study: StudyArgument,
    top: Annotated[
        int | None, typer.Option(min=1, help=f"Trials of each stratum; default {_TOP}.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=2, max=100, help=f"Of each trial; default {_SEEDS}.")
    ] = None,
    where: WhereOption = None,
    name: Annotated[
        str | None, typer.Option(help="Of the new study; default STUDY-confirm.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted one.")
    ] = False,
    slots: SlotsOption = None,
    data: Annotated[str | None, typer.Option(help=f"{DATA} Default: the study's.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Picture: confirm.png, .pdf or .svg.")
    ] = None,
    address: AddressOption = None,
    home: HomeOption = None,
    store: StoreOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Run the best trials again with fresh seeds; say which is the best, and who was only lucky.

    Pretraining and teacher-student phase get seeds that no trial of the study
    had, the same for all that are compared; the labeled split stays. It is a
    study of its own: `status`, `trials`, `cost` and `rerun` work on it. Given
    again it is shown; larger --seeds go on. All values are of validation models.

    Examples:
      ss3d confirm quickstart --top 3 --seeds 5 -o confirm.png
      ss3d confirm paper --where data.labeled_ratio=0.1
    """
    from ss3d.report.confirmed import confirm_results
    from ss3d.report.confirmed_tables import confirmed_as_values, draw_confirmation
    from ss3d.trial.history import load_study_record

    _check(output)
    settings = load_settings(home=home, store=store, ray_address=address)
    opened = open_store(settings.store_address)
    record = load_study_record(opened, layout.check_study_name(study))
    name = layout.check_study_name(name or f"{study}-confirm")
    asked = _Asked(name, top, parse_assignments(where), seeds, resume, data, slots)
    snapshot = None
    with tempfile.TemporaryDirectory() as folder:
        if request := _plan(opened, record, asked, Path(folder)):
            _, snapshot = run_shown(request, settings)
    confirmation = load_study_record(opened, name)
    found = confirm_results(opened, record, confirmation)
    if output is not None:
        draw_confirmation(output, found, f"{name}: {study} with fresh seeds")
    value = {
        "study": name,
        "confirms": study,
        "strata": confirmed_as_values(found),
        "figure": None if output is None else str(output),
    }
    emit(value, as_json, lambda: _say(study, name, found, output))
    if snapshot is not None:
        check_outcome(name, snapshot)


def _check(output: Path | None) -> None:
    from ss3d.report.confirmed_tables import FORMATS

    if output is not None and output.suffix not in FORMATS:
        raise ConfigError(f"--output: got {output.name!r}, expected {', '.join(FORMATS)}")


def _plan(store: Store, record: StudyRecord, asked: _Asked, folder: Path) -> Request | None:
    """Return what begins or goes on with the confirmation; None to show it as it is."""
    from ss3d.study.confirmation import check_confirmation, confirmation_text
    from ss3d.study.definition import Request
    from ss3d.trial.history import load_study_spec

    if store.get(layout.study(asked.name, "study.json")) is None:
        chosen = _choose(record, asked.top, asked.where)
        space = folder / f"{asked.name}.toml"
        text = confirmation_text(record, chosen, asked.seeds or _SEEDS, asked.name)
        space.write_text(text, encoding="utf-8")
        return Request(space=space, data=_same_data(record, asked.data), slots=asked.slots)
    is_chosen = asked.top is not None or bool(asked.where)
    chosen = _choose(record, asked.top, asked.where) if is_chosen else None
    check_confirmation(load_study_spec(store, asked.name), record.name, chosen)
    return _go_on(store, asked)


def _choose(record: StudyRecord, top: int | None, where: dict[str, Any]) -> list[TrialRecord]:
    """Return the trials to confirm; say it if there are fewer than asked for."""
    from ss3d.study.confirmation import choose_trials

    chosen = choose_trials(record, top or _TOP, where)
    counts = Counter(canonical_json(trial.spec.stratum) for trial in chosen)
    if top is not None and min(counts.values()) < top:
        strata = " in a stratum" if len(counts) > 1 else ""
        _note(f"--top {top}: only {min(counts.values())} different trials are complete{strata}")
    return chosen


def _same_data(record: StudyRecord, data: str | None) -> str:
    """Return the address of the data set, which must be that of the study."""
    recorded = record.spec["data"]
    address = data or str(recorded["address"])
    found = open_prepared(address).manifest.content_hash
    if found != recorded["content_hash"]:
        raise RefusedError(
            f"study {record.name} was made with data {recorded['content_hash'][:12]}…, {address} "
            f"is {found[:12]}…; confirm it with its own, by --data"
        )
    return address


def _go_on(store: Store, asked: _Asked) -> Request | None:
    from ss3d.study.confirmation import confirmed_trials
    from ss3d.study.definition import Request
    from ss3d.trial.history import load_study_record, read_budget

    record = load_study_record(store, asked.name)
    target, arms = read_budget(store, asked.name, record.spec), len(confirmed_trials(record.spec))
    wanted = target if asked.seeds is None else asked.seeds * arms
    if asked.resume or wanted > target:
        return Request(
            name=asked.name,
            data=asked.data,
            trials=max(wanted, target),
            slots=asked.slots,
            resume=True,
        )
    ended = sum(trial.state != "running" for trial in record.trials)
    if ended < target:
        _note(f"{ended} of {target} trials of {asked.name} have ended; --resume goes on")
    if wanted < target:
        _note(f"{asked.name} has {target // arms} seeds of each trial; all are shown")
    return None


def _note(text: str) -> None:
    errors.print(Text(f"note: {text}", style="yellow"), soft_wrap=True)


def _say(study: str, name: str, found: Sequence[ConfirmedStratum], output: Path | None) -> None:
    from ss3d.report.confirmed_tables import confirmed_table, remarks
    from ss3d.report.leaderboard import describe_values

    for part in found:
        console.print(confirmed_table(part, f"{name} {describe_values(part.stratum)}".strip()))
    for line in remarks(found):
        console.print(f"– {line}", highlight=False, markup=False)
    if output is not None:
        console.print(f"written: {output}", highlight=False, soft_wrap=True)
    for part in found:
        best = part.trials[0]
        if best.mean is not None:
            console.print(f"next: ss3d promote {study}/{best.trial} --model NAME", highlight=False)
