"""Who is champion: roll back to the one before, and the history of all."""

from __future__ import annotations

from typing import Annotated

import typer

from ss3d.cli.opening import HomeOption, StoreOption
from ss3d.cli.options import ReasonOption
from ss3d.cli.output import JsonFlag, console, emit
from ss3d.cli.promotion_tables import models_table, say_history, say_outcome, say_repaired
from ss3d.settings import load_settings
from ss3d.store.opening import open_store


def rollback(
    model: Annotated[str, typer.Argument(metavar="NAME", help="Registered model.")],
    reason: ReasonOption = "",
    home: HomeOption = None,
    store: StoreOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Make the previous version of a model its champion again; once more takes that back.

    Examples:
      ss3d rollback chairs --reason "thin legs are lost"
    """
    from ss3d.tracking.rollback import roll_back

    settings = load_settings(home=home, store=store)
    value = roll_back(open_store(settings.store_address), settings, model, reason)
    emit(value, as_json, lambda: say_outcome(value))


def registry(
    model: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Default: all models.", show_default=False)
    ] = None,
    home: HomeOption = None,
    store: StoreOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Say who is champion; of one model, who was when, and why.

    The store's ledger decides; aliases in MLflow that a crash left behind are repaired.

    Examples:
      ss3d registry
      ss3d registry chairs
    """
    from ss3d.tracking.champions import champions, history

    settings = load_settings(home=home, store=store)
    opened = open_store(settings.store_address)
    if model is None:
        known = champions(opened)
        emit(known, as_json, lambda: console.print(models_table(known)))
        return
    value = history(opened, settings, model)

    def show() -> None:
        say_history(value)
        say_repaired(value["repaired"])

    emit(value, as_json, show)
