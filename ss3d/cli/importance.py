"""`ss3d importance`: which parameters decided who was best."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ss3d.cli.opening import HomeOption, StoreOption
from ss3d.cli.options import StudyArgument
from ss3d.cli.output import JsonFlag, console, emit
from ss3d.errors import ConfigError
from ss3d.settings import load_settings
from ss3d.store import layout
from ss3d.store.opening import open_store

if TYPE_CHECKING:
    from rich.table import Table

    from ss3d.study.importance import StratumImportance
    from ss3d.trial.records import StudyRecord

_BAR = 30


def importance(
    study: StudyArgument,
    home: HomeOption = None,
    store: StoreOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Say which parameters decided who was best (PED-ANOVA), within each stratum.

    Rests on complete and pruned trials, 10 of a stratum at least. Shares always
    sum to 1; a parameter is clear if shuffled values give it less 95 times in 100.

    Examples:
      ss3d importance quickstart
      ss3d importance paper --json
    """
    from ss3d.study.importance import importances
    from ss3d.trial.history import load_study_record

    opened = open_store(load_settings(home=home, store=store).store_address)
    found = importances(load_study_record(opened, layout.check_study_name(study)))
    value = {
        "study": study,
        "method": "ped-anova",
        "strata": [importance_as_values(part) for part in found],
    }

    def say() -> None:
        for part in found:
            console.print(_table(part))

    emit(value, as_json, say)


def known_importances(study: StudyRecord) -> list[dict[str, Any]]:
    """Return the importances as `--json` shows them; none if there are too few trials."""
    from ss3d.study.importance import importances

    try:
        return [importance_as_values(part) for part in importances(study)]
    except ConfigError:
        return []


def importance_as_values(part: StratumImportance) -> dict[str, Any]:
    """Return the importances of a stratum as `--json` shows them."""
    return {
        "stratum": part.stratum,
        "trials": part.num_trials,
        "top": part.num_top,
        "parameters": [
            {"path": p.path, "share": p.share, "clear": p.is_clear} for p in part.parameters
        ],
    }


def _table(part: StratumImportance) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from ss3d.report.leaderboard import describe_values

    where = f"{describe_values(part.stratum)} · " if part.stratum else ""
    title = f"{where}best {part.num_top} of {part.num_trials} trials"
    table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False, title_justify="left")
    table.add_column("parameter", no_wrap=True)
    table.add_column("share", justify="right", no_wrap=True)
    table.add_column("")
    for parameter in part.parameters:
        bar = "█" * round(_BAR * parameter.share)
        note = "" if parameter.is_clear else " may be chance"
        table.add_row(parameter.path, f"{parameter.share:.2f}", f"[cyan]{bar}[/][dim]{note}[/]")
    return table
