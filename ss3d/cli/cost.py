"""`ss3d cost`: what a study cost, and what sharing and stopping saved."""

from __future__ import annotations

from typing import Annotated

import typer

from ss3d.cli.opening import HomeOption, StoreOption
from ss3d.cli.output import JsonFlag, console, emit
from ss3d.settings import load_settings
from ss3d.store import layout
from ss3d.store.opening import open_store


def cost(
    study: Annotated[str, typer.Argument(help="Name of a study; `ss3d studies` lists all.")],
    home: HomeOption = None,
    store: StoreOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Say what a study cost: training time by phase, saved by sharing and stopping, wasted.

    The factor is what the same trials would have cost if each had pretrained by
    itself and none had been stopped, over what was spent. What another study
    made costs nothing here. Epochs that a kill took back are not known.

    Examples:
      ss3d cost quickstart
      ss3d cost paper --json
    """
    from ss3d.report.cost import (
        borrowed_keys,
        cost_as_values,
        cost_table,
        strata_table,
        study_cost,
        total_cost,
    )
    from ss3d.trial.history import load_study_record

    opened = open_store(load_settings(home=home, store=store).store_address)
    record = load_study_record(opened, layout.check_study_name(study))
    borrowed = borrowed_keys(opened, record)
    costs = study_cost(record, borrowed)
    total = total_cost(costs)
    value = {
        "study": study,
        **cost_as_values(total),
        "borrowed": sorted(borrowed),
        "strata": [{"stratum": part.stratum} | cost_as_values(part.cost) for part in costs],
    }

    def say() -> None:
        console.print(cost_table(total, title=study))
        if len(costs) > 1:
            console.print(strata_table(costs))
        if borrowed:
            kinds = [of.kind for of in record.shared if of.key in borrowed]
            counts = {"pretrained states": "pretrain", "controls": "control"}
            words = [f"{kinds.count(k)} {w}" for w, k in counts.items() if k in kinds]
            console.print(f"– made by other studies: {', '.join(words)}", highlight=False)

    emit(value, as_json, say)
