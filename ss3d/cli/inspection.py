"""Looking at one trial: `ss3d show`, `why`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from ss3d.cli.opening import HomeOption, StoreOption
from ss3d.cli.output import JsonFlag, console, emit
from ss3d.settings import Settings, load_settings
from ss3d.store import layout
from ss3d.store.opening import open_store

if TYPE_CHECKING:
    from ss3d.store.protocol import Store
    from ss3d.trial.records import TrialRecord

TrialPath = Annotated[str, typer.Argument(metavar="STUDY/TRIAL", help="E.g. quickstart/t00003.")]


def show(
    trial: TrialPath, home: HomeOption = None, store: StoreOption = None, as_json: JsonFlag = False
) -> None:
    """Show one trial: parameters, epochs, where it ran, and its log if it failed."""
    from ss3d.trial.history import load_trial_record

    opened = open_configured(load_settings(home=home, store=store))
    study, name = layout.split_trial_path(trial)
    record = load_trial_record(opened, study, name)
    value = describe_trial(record) | {
        "config": record.spec.config.flatten(),
        "pretrain_key": record.spec.pretrain_key,
        "epoch_reports": [report.model_dump(mode="json") for report in record.reports],
        "attempts": _read_all(opened, layout.trial(study, name, "attempts") + "/"),
        "log": _read_log(opened, record),
    }
    emit(value, as_json, lambda: _say_trial(trial, record, value))


def why(
    trial: TrialPath, home: HomeOption = None, store: StoreOption = None, as_json: JsonFlag = False
) -> None:
    """Say why a trial was stopped or went on: every decision that was made about it."""
    from ss3d.trial.history import load_trial_record

    opened = open_configured(load_settings(home=home, store=store))
    study, name = layout.split_trial_path(trial)
    record = load_trial_record(opened, study, name)
    prefix = layout.study(study, "decisions") + "/"
    keys = [key for key in opened.list(prefix) if key.startswith(f"{prefix}{name}-")]
    decisions = [json.loads(blob.data) for key in keys if (blob := opened.get(key))]
    reason = record.result.reason if record.result else ""

    def say() -> None:
        table = Table("epoch", "rule", "value", "cutoff", "rank", "of", "stopped", title=trial)
        for d in decisions:
            numbers = (f"{d['value']:.4f}", f"{d['cutoff']:.4f}", str(d["rank"]))
            row = (str(d["rung"]), d["rule"], *numbers, str(len(d["peers"])))
            table.add_row(*row, "yes" if d["stop"] else "no")
        console.print(table)
        console.print(f"{trial}: {record.state}{f': {reason}' if reason else ''}")

    value = {"trial": name, "state": record.state, "reason": reason, "decisions": decisions}
    emit(value, as_json, say)


def _read_log(store: Store, record: TrialRecord) -> dict[str, str]:
    """Return why attempts failed: a trial's own, or those of the pretraining that it waited for."""
    spec = record.spec
    own = _read_all(store, layout.trial(spec.study, spec.trial, "log") + "/")
    if own or record.state != "failed":
        return own
    shared = _read_all(store, layout.pretrain(spec.pretrain_key, "log") + "/")
    return {f"pretrain/{name}": text for name, text in shared.items()}


def _read_all(store: Store, prefix: str) -> dict[str, str]:
    """Return all small texts under a prefix by their name."""
    found = {key.removeprefix(prefix): store.get(key) for key in store.list(prefix)}
    return {name: blob.data.decode() for name, blob in found.items() if blob}


def _say_trial(title: str, record: TrialRecord, value: dict[str, Any]) -> None:
    reason = f": {value['reason']}" if value["reason"] else ""
    console.print(f"{title}: {record.state}{reason}")
    for path, item in record.spec.params.items():
        console.print(f"  {path} = {item}")
    table = Table("phase", "epoch", "val/cd_l1", "teacher", "train loss", "seconds")
    for report in record.reports:
        names = ("val/cd_l1", "val/cd_l1_teacher", "train/loss")
        values = [f"{report.metrics[n]:.4f}" if n in report.metrics else "" for n in names]
        seconds = f"{report.system['epoch_s']:.1f}"
        table.add_row(report.phase, str(report.epoch), *values, seconds)
    console.print(table)
    for name, text in value["log"].items():
        console.rule(name)
        console.print(text, markup=False, highlight=False)


def open_configured(settings: Settings) -> Store:
    """Return the store that the settings name."""
    return open_store(settings.store_address)


def describe_trial(trial: TrialRecord) -> dict[str, Any]:
    """Return a trial as `--json` shows it."""
    result = trial.result
    return {
        "trial": trial.spec.trial,
        "state": trial.state,
        "params": trial.spec.params,
        "stratum": trial.spec.stratum,
        "values": result.values if result else {},
        "epochs": max((report.epoch for report in trial.reports), default=0),
        "seconds": sum(report.system["epoch_s"] for report in trial.reports),
        "reason": result.reason if result else "",
    }
