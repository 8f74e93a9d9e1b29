"""Looking at one trial: `ss3d show`, `why`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from ss3d.cli.opening import HomeOption, StoreOption
from ss3d.cli.output import JsonFlag, console, emit, errors
from ss3d.cli.rerun_tables import show_reruns
from ss3d.errors import CheckpointError
from ss3d.settings import Settings, load_settings
from ss3d.store import layout
from ss3d.store.opening import open_store

if TYPE_CHECKING:
    from ss3d.report.gains import TrialGains
    from ss3d.store.protocol import Store
    from ss3d.trial.records import TrialRecord

TrialPath = Annotated[str, typer.Argument(metavar="STUDY/TRIAL", help="E.g. quickstart/t00003.")]


def show(
    trial: TrialPath, home: HomeOption = None, store: StoreOption = None, as_json: JsonFlag = False
) -> None:
    """Show one trial: parameters, gains, epochs, where it ran, and where it failed.

    Examples:
      ss3d show quickstart/t00003
    """
    from ss3d.report.gains_tables import gains_as_values
    from ss3d.trial.history import load_study_spec, load_trial_record
    from ss3d.trial.verdict import read_verdicts
    from ss3d.trial.what_if import read_what_ifs

    opened = open_configured(load_settings(home=home, store=store))
    study, name = layout.split_trial_path(trial)
    record = load_trial_record(opened, study, name)
    gains = known_gains(opened, load_study_spec(opened, study), [record]).get(name)
    what_ifs = read_what_ifs(opened, study, name)
    value = describe_trial(record) | {
        "gains": gains and gains_as_values(gains),
        "config": record.spec.config.flatten(),
        "pretrain_key": record.spec.pretrain_key,
        "epoch_reports": [report.model_dump(mode="json") for report in record.reports],
        "attempts": _read_all(opened, layout.trial(study, name, "attempts") + "/"),
        "log": _read_log(opened, record),
        "reruns": read_verdicts(opened, study, name),
        "what_ifs": [one.model_dump(mode="json", exclude={"config"}) for one in what_ifs],
    }

    def say() -> None:
        _say_trial(trial, record, value, gains)
        show_reruns(value["reruns"], what_ifs)

    emit(value, as_json, say)


def why(
    trial: TrialPath, home: HomeOption = None, store: StoreOption = None, as_json: JsonFlag = False
) -> None:
    """Say why a trial was stopped or went on: every decision that was made about it.

    Examples:
      ss3d why quickstart/t00003
      ss3d why quickstart/t00003 --json
    """
    from ss3d.trial.history import load_trial_record

    opened = open_configured(load_settings(home=home, store=store))
    study, name = layout.split_trial_path(trial)
    record = load_trial_record(opened, study, name)
    prefix = layout.study(study, "decisions") + "/"
    keys = [key for key in opened.list(prefix) if key.startswith(f"{prefix}{name}-")]
    decisions = [json.loads(blob.data) for key in keys if (blob := opened.get(key))]
    reason = record.result.reason if record.result else ""

    def say() -> None:
        _say_decisions(trial, decisions)
        line = f"{trial}: {record.state}{f': {reason}' if reason else ''}"
        console.print(line, soft_wrap=True)

    value = {"trial": name, "state": record.state, "reason": reason, "decisions": decisions}
    emit(value, as_json, say)


def _say_decisions(title: str, decisions: list[dict[str, Any]]) -> None:
    """Print decisions as a table; what the paired test found below it."""
    from ss3d.study.rungs import BY_USER, Decision, compare_models

    if not decisions:
        console.print(f"{title}: no decision; no rung has compared it with other trials")
        return
    table = Table("epoch", "rule", "value", "cutoff", "rank", "of", "stopped", title=title)
    notes = []
    for tree in decisions:
        d = Decision.from_tree({k: item for k, item in tree.items() if k != "schema"})
        compared = (f"{d.value:.4f}", f"{d.cutoff:.4f}", str(d.rank), str(d.num_peers))
        if d.front is not None:  # of several objectives or under constraints, places are compared
            compared = (f"front {d.front}", f"rank {d.cutoff:.0f}", *compared[2:])
        if d.rule == BY_USER:  # compares with no other trial
            compared = (compared[0], "", "", "")
        table.add_row(str(d.rung), d.rule, *compared, "yes" if d.stop else "no")
        if d.difference:
            notes.append(f"epoch {d.rung}: {compare_models(d.difference)}")
    console.print(table)
    for note in notes:
        console.print(note, soft_wrap=True)


def _read_log(store: Store, record: TrialRecord) -> dict[str, str]:
    """Return where attempts failed: a trial's own, or those of what it shares that is not made.

    A failed trial may have waited for its pretraining; a complete one may lack its control.
    """
    from ss3d.trial.history import is_complete
    from ss3d.trial.log import tracebacks

    spec = record.spec
    found = tracebacks(store, layout.trial(spec.study, spec.trial))
    if found or record.state not in ("failed", "complete"):
        return found
    for kind, key in spec.shared():
        if not is_complete(store, kind, key):
            shared = tracebacks(store, layout.shared(kind, key))
            found |= {f"{kind}/{name}": text for name, text in shared.items()}
    return found


def _read_all(store: Store, prefix: str) -> dict[str, str]:
    """Return all small texts under a prefix by their name."""
    found = {key.removeprefix(prefix): store.get(key) for key in store.list(prefix)}
    return {name: blob.data.decode() for name, blob in found.items() if blob}


def _say_trial(
    title: str, record: TrialRecord, value: dict[str, Any], gains: TrialGains | None
) -> None:
    reason = f": {value['reason']}" if value["reason"] else ""
    console.print(f"{title}: {record.state}{reason}")
    for path, item in record.spec.params.items():
        console.print(f"  {path} = {item}")
    if gains is not None:
        _say_gains(gains)
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


def _say_gains(gains: TrialGains) -> None:
    from ss3d.report.gains_tables import describe_gain

    pairs = {"control": gains.over_control, "pretrained state": gains.over_pretrained}
    for name, comparison in pairs.items():
        line = f"  gain over its {name}: {describe_gain(comparison)}"
        console.print(line, markup=False, soft_wrap=True)


def open_configured(settings: Settings) -> Store:
    """Return the store that the settings name."""
    return open_store(settings.store_address)


def known_gains(
    store: Store, study_spec: Mapping[str, Any], trials: Iterable[TrialRecord]
) -> dict[str, TrialGains]:
    """Return the gains of complete trials; a damaged export is told and keeps no other away."""
    from ss3d.report.exported_distances import Exports
    from ss3d.report.gains import gains_of_trial, has_controls

    exports = Exports(store)
    found: dict[str, TrialGains] = {}
    for trial in trials:
        if trial.state != "complete":
            continue
        try:
            gains = gains_of_trial(exports, has_controls(study_spec), trial)
        except CheckpointError as error:
            errors.print(Text(f"note: no gains of {trial.spec.trial}: {error}", style="yellow"))
        else:
            found[trial.spec.trial] = gains
    return found


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
