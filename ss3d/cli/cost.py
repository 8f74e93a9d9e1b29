"""`ss3d cost`: what a study cost, and what sharing and stopping saved."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from ss3d.cli.opening import HomeOption, StoreOption
from ss3d.cli.options import StudyArgument
from ss3d.cli.output import JsonFlag, console, emit
from ss3d.settings import load_settings
from ss3d.store import layout
from ss3d.store.opening import open_store

if TYPE_CHECKING:
    from ss3d.store.protocol import Store
    from ss3d.trial.records import StudyRecord


def cost(
    study: StudyArgument,
    home: HomeOption = None,
    store: StoreOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Say what a study cost: training time by phase, saved by sharing and stopping, wasted.

    The factor is what the same trials would have cost if each had pretrained by
    itself and none had been stopped, over what was spent. What another study
    made costs nothing here. Epochs that a kill took back are not known. What
    `ss3d validate --probe` predicted for the same space, data and number of
    trials stands beside what happened.

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
    from ss3d.report.predicted import compare_with_cost, compared_table, read_prediction
    from ss3d.study.sessions import read_past
    from ss3d.trial.history import load_study_record

    opened = open_store(load_settings(home=home, store=store).store_address)
    record = load_study_record(opened, layout.check_study_name(study))
    borrowed = borrowed_keys(opened, record)
    costs = study_cost(record, borrowed, read_past(opened, study).shared)
    total = total_cost(costs)
    prediction = read_prediction(opened, record.spec)
    compared = (
        compare_with_cost(prediction, total, _bytes_of(opened, record, borrowed))
        if prediction
        else []
    )
    value = {
        "study": study,
        **cost_as_values(total),
        "borrowed": sorted(borrowed),
        "prediction": {
            of.name: {"predicted": of.predicted, "actual": of.actual, "ratio": of.ratio}
            for of in compared
        },
        "strata": [{"stratum": part.stratum} | cost_as_values(part.cost) for part in costs],
    }

    def say() -> None:
        console.print(cost_table(total, title=study))
        if len(costs) > 1:
            console.print(strata_table(costs))
        if prediction:
            console.print(compared_table(compared, prediction.device))
        if borrowed:
            kinds = [of.kind for of in record.shared if of.key in borrowed]
            counts = {"pretrained states": "pretrain", "controls": "control"}
            words = [f"{kinds.count(k)} {w}" for w, k in counts.items() if k in kinds]
            console.print(f"– made by other studies: {', '.join(words)}", highlight=False)

    emit(value, as_json, say)


def _bytes_of(store: Store, record: StudyRecord, borrowed: Collection[str]) -> int:
    """Return the size of a study, and of the pretrained states and controls that it made."""
    from ss3d.study.inventory import total_bytes

    prefixes = [layout.study(record.name)]
    prefixes += [layout.shared(o.kind, o.key) for o in record.shared if o.key not in borrowed]
    return total_bytes(store, [key for prefix in prefixes for key in store.list(f"{prefix}/")])
