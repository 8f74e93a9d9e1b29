"""`ss3d gains`: what the teacher-student phase brought, against honest baselines."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from ss3d.cli.opening import HomeOption, StoreOption, open_prepared
from ss3d.cli.options import StudyArgument
from ss3d.cli.output import JsonFlag, console, emit, errors
from ss3d.errors import ConfigError, DataError
from ss3d.settings import load_settings
from ss3d.store import layout
from ss3d.store.opening import open_store

if TYPE_CHECKING:
    from ss3d.data.manifest import Manifest
    from ss3d.report.arm_gains import ArmGains
    from ss3d.report.gains import TrialGains
    from ss3d.trial.records import StudyRecord


def gains(
    study: StudyArgument,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Picture: gains.png, .pdf or .svg.")
    ] = None,
    by_trial: Annotated[
        bool, typer.Option("--trials", help="Every trial too; always so without arms.")
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of tables.")] = False,
    home: HomeOption = None,
    store: StoreOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Compare trials with their controls and their pretrained states, model by model.

    Each arm's replicates are taken together and compared with the first arm as well. CSV and
    picture have one row per arm, or per trial with --trials or without arms.

    Examples:
      ss3d gains method
      ss3d gains method -o gains.png
      ss3d gains method --trials --csv > gains.csv
    """
    from ss3d.report.arm_gains import arm_gains
    from ss3d.report.gains import trial_gains
    from ss3d.report.gains_tables import arm_as_values, trial_as_values
    from ss3d.trial.history import load_study_record

    _check(output)
    opened = open_store(load_settings(home=home, store=store).store_address)
    record = load_study_record(opened, layout.check_study_name(study))
    is_by_trial = by_trial or not _has_arms(record)
    arms = arm_gains(opened, record, _manifest(record))
    trials = trial_gains(opened, record) if is_by_trial or as_json else []
    if output is not None:
        _draw(output, trials if is_by_trial else arms, study)
    value = {
        "study": study,
        "arms": [arm_as_values(arm) for arm in arms],
        "trials": [trial_as_values(trial) for trial in trials],
        "left_out": _left_out(record),
        "figure": None if output is None else str(output),
    }

    def say() -> None:
        if as_csv:
            _print_csv(value["trials"] if is_by_trial else value["arms"])
        else:
            _say(record, arms, trials, output)

    emit(value, as_json, say)


def _check(output: Path | None) -> None:
    from ss3d.report.forest_plot import FORMATS

    if output is not None and output.suffix not in FORMATS:
        raise ConfigError(f"--output: got {output.name!r}, expected {', '.join(FORMATS)}")


def _has_arms(study: StudyRecord) -> bool:
    return any("arm" in trial.spec.stratum for trial in study.trials)


def _left_out(study: StudyRecord) -> dict[str, int]:
    """Return how many trials have no export, by their state."""
    counts = Counter(trial.state for trial in study.trials if trial.state != "complete")
    return dict(sorted(counts.items()))


def _manifest(study: StudyRecord) -> Manifest | None:
    """Return the manifest of the study's data set, to count labels; None if it is not there."""
    recorded = study.spec.get("data", {})
    try:
        manifest = open_prepared(recorded.get("address", "")).manifest
        if manifest.content_hash != recorded.get("content_hash"):
            raise DataError(f"{recorded['address']} is another data set now")
    except DataError as error:
        errors.print(Text(f"note: {error}; labeled models are not counted", style="yellow"))
        return None
    return manifest


def _draw(output: Path, shown: list[ArmGains] | list[TrialGains], study: str) -> None:
    from ss3d.report.forest_plot import draw_forest, forest_rows

    rows = forest_rows(shown)
    models = {g.num_models for row in rows if (g := row.over_control or row.over_pretrained)}
    words = f" · {max(models)} validation models" if models else ""
    draw_forest(output, rows, f"{study}{words}")


def _say(
    study: StudyRecord, arms: list[ArmGains], trials: list[TrialGains], output: Path | None
) -> None:
    from ss3d.report.gains_tables import arm_table, how_to_read, left_out, trial_table

    console.print(arm_table(arms, _has_arms(study), title=study.name))
    if trials:
        console.print(trial_table(trials))
    shown = [
        *(c.gain for a in arms for c in (a.over_control, a.over_pretrained, a.over_reference)),
        *(c.gain for t in trials for c in (t.over_control, t.over_pretrained)),
    ]
    console.print(how_to_read(shown), highlight=False)
    for line in left_out(arms, trials):
        console.print(f"– {line}", highlight=False, markup=False)
    if counts := _left_out(study):
        words = ", ".join(f"{number} {state}" for state, number in counts.items())
        console.print(f"– left out, for they have no final export: {words}", highlight=False)
    if output is not None:
        console.print(f"written: {output}", highlight=False, soft_wrap=True)


def _print_csv(values: list[dict[str, Any]]) -> None:
    from ss3d.report.gains_tables import flat_row

    rows = [flat_row(value) for value in values]
    writer = csv.DictWriter(sys.stdout, list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    writer.writerows(rows)
