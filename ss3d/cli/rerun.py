"""`ss3d rerun`: one trial again in this process: a proof, a what-if, or a profile."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ss3d.cli.opening import HomeOption, StoreOption, epoch_bar, fetch_weights
from ss3d.cli.options import SetOption, parse_assignments
from ss3d.cli.output import JsonFlag, emit, errors
from ss3d.cli.rerun_preparation import Prepared, prepare
from ss3d.cli.rerun_tables import show_prepared, show_profile, show_verdict, show_what_if
from ss3d.errors import ConfigError, OutcomeError, ServiceError
from ss3d.settings import load_settings

if TYPE_CHECKING:
    from ss3d.data.loader import TrialData
    from ss3d.trial.records import EpochReport
    from ss3d.trial.state import TrialState
    from ss3d.trial.what_if import WhatIf


def rerun(
    trial: Annotated[str, typer.Argument(help="STUDY/t00017.")],
    data: Annotated[
        str | None, typer.Option("--data", help="Data set, if it moved since the search.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Exit 6 if it differs.")] = False,
    epochs: Annotated[
        int | None, typer.Option(min=0, help="Stop after this teacher-student epoch.")
    ] = None,
    from_epoch: Annotated[
        int | None,
        typer.Option(min=0, help="Begin with the stored checkpoint of this epoch."),
    ] = None,
    own_pretrain: Annotated[
        bool, typer.Option("--own-pretrain", help="Pretrain again and compare that, too.")
    ] = False,
    assignments: SetOption = None,
    profile: Annotated[
        Path | None,
        typer.Option(help="Only profile an epoch's first steps; folder of the trace."),
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="auto, cpu or cuda; default: the original's.")
    ] = None,
    is_recorded: Annotated[
        bool, typer.Option("--record/--no-record", help="Keep the outcome beside the trial.")
    ] = True,
    home: HomeOption = None,
    store_address: StoreOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Run one trial again in this process and compare it, epoch by epoch, with the original.

    Before it starts it says what differs from then (code, data, versions,
    machine), whether bits must repeat, how long the original took, and how much
    is to be read. The verdict is bitwise, within tolerance (1 % of the last
    val/cd_l1, for other devices) or differs, with the first difference. It is
    kept beside the trial in the store, where `ss3d show` lists it and the gates
    of `ss3d promote` find it. Ctrl-C leaves nothing behind.

    With --set it is a what-if: no proof, but a run beside the original, in the
    store and in MLflow.

    Examples:
      ss3d rerun demo/t00003 --check
      ss3d rerun demo/t00003 --check --own-pretrain --json
      ss3d rerun demo/t00003 --check --store s3://BUCKET/ss3d
      ss3d rerun demo/t00003 --from-epoch 10
      ss3d rerun demo/t00003 --set semi.ema_decay=0.99 --epochs 5
      ss3d rerun demo/t00003 --profile trace
    """
    values = parse_assignments(assignments)
    _refuse_what_makes_no_sense(values, check, from_epoch, profile)
    ready = prepare(
        trial,
        load_settings(home=home, store=store_address),
        data=data,
        device=device,
        values=values,
        last=epochs,
        after=from_epoch,
        own_pretrain=own_pretrain,
    )
    if not as_json:
        show_prepared(ready, is_profile=profile is not None)
    trial_data = ready.load_data(quiet=as_json)
    state = _begin(ready)
    if profile is not None:
        _profile(ready, state, trial_data, profile, as_json)
    elif values:
        _what_if(ready, state, trial_data, values, is_recorded, as_json)
    else:
        _prove(ready, state, trial_data, check, is_recorded, as_json)


def _refuse_what_makes_no_sense(
    values: dict[str, Any], check: bool, from_epoch: int | None, profile: Path | None
) -> None:
    proves = not values and profile is None
    if check and not proves:
        raise ConfigError("--check: a what-if or a profile proves nothing; drop --set or --profile")
    if from_epoch is not None and values:
        raise ConfigError("--from-epoch: a checkpoint belongs to the trial's values; drop --set")


def _begin(ready: Prepared) -> TrialState:
    from ss3d.trial.rerun import begin

    plan = ready.plan
    weights = fetch_weights(plan.config, ready.settings) if plan.bundle is None else None
    return begin(plan, ready.store, weights, ready.device)


def _run(
    ready: Prepared, state: TrialState, data: TrialData, as_json: bool
) -> tuple[EpochReport, ...]:
    from ss3d.trial.rerun import rerun

    done = []
    with epoch_bar(f"rerun {ready.trial}", ready.plan.num_epochs, quiet=as_json) as advance:
        for report in rerun(state, data, ready.plan.last):
            done.append(report)
            advance(report)
    return tuple(done)


def _prove(
    ready: Prepared, state: TrialState, data: TrialData, check: bool, keep: bool, as_json: bool
) -> None:
    from ss3d.trial.verdict import compare, describe_difference, record_verdict

    again = _run(ready, state, data, as_json)
    verdict = compare(ready.plan.original, again, ready.plan.after)
    if keep:
        device = ready.device.type
        record_verdict(ready.store, ready.record.spec, verdict, device, ready.changes)
    value = verdict.model_dump() | ready.describe()
    emit(value, as_json, lambda: show_verdict(verdict))
    if check and verdict.verdict == "differs":
        first = verdict.first_difference
        where = f", first in {describe_difference(first)}" if first else ": no epoch in common"
        raise OutcomeError(f"{ready.trial}: the rerun differs{where}")


def _what_if(
    ready: Prepared,
    state: TrialState,
    data: TrialData,
    values: dict[str, Any],
    keep: bool,
    as_json: bool,
) -> None:
    from ss3d.trial.spec import code_version, versions
    from ss3d.trial.what_if import WhatIf, curve_of, record_what_if

    started, spec = ready.store.now(), ready.record.spec
    reports = _run(ready, state, data, as_json)
    what_if = WhatIf(
        study=spec.study,
        trial=spec.trial,
        values=values,
        config=ready.plan.config,
        reports=tuple(report.without_models() for report in reports),
        device=ready.device.type,
        code_version=code_version(),
        data_hash=data.data_hash,
        versions=versions(),
        started_at=started,
        finished_at=ready.store.now(),
    )
    kept = (
        {"key": record_what_if(ready.store, what_if), "run": _log(ready, what_if)} if keep else {}
    )
    curves = {"original": curve_of(ready.record.reports), "what_if": what_if.curve()}
    value = {"values": values, "curves": curves, "metrics": reports[-1].metrics, **kept}
    emit(value | ready.describe(), as_json, lambda: show_what_if(ready.trial, values, curves))


def _log(ready: Prepared, what_if: WhatIf) -> str | None:
    """Write a what-if into MLflow and return its run's id; the store has it, so MLflow may wait."""
    from ss3d.tracking.projection import Projection

    try:
        return Projection(ready.settings, ready.store).what_if(ready.study_spec, what_if)
    except ServiceError as error:
        errors.print(f"note: {error}; `ss3d sync {what_if.study}` writes it later", markup=False)
        return None


def _profile(
    ready: Prepared, state: TrialState, data: TrialData, folder: Path, as_json: bool
) -> None:
    from dataclasses import asdict

    from ss3d.trial.profiling import TRACE, profile_epoch

    found = profile_epoch(state, data, folder)
    value = asdict(found) | {"trace": str(folder / TRACE)} | ready.describe()
    emit(value, as_json, lambda: show_profile(found, folder / TRACE))
