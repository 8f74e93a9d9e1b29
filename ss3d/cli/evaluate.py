"""Measuring a model: `ss3d evaluate`."""

from __future__ import annotations

from typing import Annotated

import typer

from ss3d.cli.chosen import choose_network
from ss3d.cli.measured import (
    count_labels,
    describe_assessment,
    record_test,
    show_assessment,
)
from ss3d.cli.opening import (
    DataOption,
    DeviceOption,
    HomeOption,
    StoreOption,
    open_data,
    pick_device,
)
from ss3d.cli.output import JsonFlag, emit
from ss3d.errors import ConfigError
from ss3d.settings import load_settings


def evaluate(
    model: Annotated[
        str, typer.Argument(help="Train directory, STUDY/t00017 or models:/NAME@champion.")
    ],
    data: DataOption,
    split: Annotated[str, typer.Option(help="val or test.")] = "val",
    teacher: Annotated[
        bool,
        typer.Option("--teacher", help="The newest checkpoint's teacher, not the best student."),
    ] = False,
    device: DeviceOption = "auto",
    home: HomeOption = None,
    store_address: StoreOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Measure a model with the official metric: cd_l1 = 100 x L1 Chamfer distance, unit ball.

    Every reading of the test split is recorded and counted: beside a directory, else in the store.

    Examples:
      ss3d evaluate runs/first --data demo-data
      ss3d evaluate demo/t00003 --data demo-data --teacher
      ss3d evaluate models:/chair@champion --data shapes --split test --json
    """
    from ss3d.training.assessment import assess

    if split not in ("val", "test"):
        raise ConfigError(f"--split: got {split!r}, expected val or test")
    settings = load_settings(home=home, store=store_address)
    target = pick_device(device)
    chosen = choose_network(model, teacher, settings, target)
    trial_data = open_data(data, chosen.config.data, settings, target)
    items = trial_data.test() if split == "test" else trial_data.validation
    found = assess(chosen.network, items, trial_data.view)
    value = describe_assessment(found) | {
        "network": chosen.describe(),
        "labels": count_labels(chosen, trial_data),
        "split": split,
        "count": len(found.evaluation.ids),
        "categories": trial_data.category_names,
    }
    if split == "test":
        value["test_readings"] = record_test(model, chosen, trial_data, value, settings)
    title = f"{model} on {split}: {chosen.role}, {chosen.phase} epoch {chosen.epoch}"
    emit(value, as_json, lambda: show_assessment(title, found, value))
