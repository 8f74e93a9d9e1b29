"""Measuring a model and proving a trial: evaluate, rerun."""

from __future__ import annotations

from typing import Annotated

import typer

from ss3d.cli.chosen import choose_network
from ss3d.cli.measured import (
    count_labels,
    describe_assessment,
    record_test,
    show_assessment,
    show_verdict,
)
from ss3d.cli.opening import (
    DataOption,
    DeviceOption,
    HomeOption,
    StoreOption,
    epoch_bar,
    fetch_weights,
    open_data,
    pick_device,
)
from ss3d.cli.output import JsonFlag, console, emit
from ss3d.errors import ConfigError, OutcomeError
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


def rerun(
    trial: Annotated[str, typer.Argument(help="STUDY/t00017.")],
    data: Annotated[
        str | None, typer.Option("--data", help="Data set, if it moved since the search.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Exit 6 if it differs.")] = False,
    epochs: Annotated[
        int | None, typer.Option(min=0, help="Stop after this teacher-student epoch.")
    ] = None,
    own_pretrain: Annotated[
        bool, typer.Option("--own-pretrain", help="Pretrain again, too.")
    ] = False,
    device: Annotated[
        str | None, typer.Option("--device", help="auto, cpu or cuda; default: the original's.")
    ] = None,
    is_recorded: Annotated[
        bool, typer.Option("--record/--no-record", help="Keep the verdict beside the trial.")
    ] = True,
    home: HomeOption = None,
    store_address: StoreOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Run one trial again in this process and compare it, epoch by epoch, with the original.

    The verdict is bitwise, within tolerance or differs, with the first difference. It is kept
    beside the trial in the store, where the gates of `ss3d promote` find it.

    Examples:
      ss3d rerun demo/t00003 --check
      ss3d rerun demo/t00003 --check --own-pretrain --json
    """
    from ss3d.store.layout import split_trial_path
    from ss3d.store.opening import open_store
    from ss3d.trial import rerun as again
    from ss3d.trial.history import load_study_spec, load_trial_record

    settings = load_settings(home=home, store=store_address)
    store = open_store(settings.store_address)
    study, name = split_trial_path(trial)
    record = load_trial_record(store, study, name)
    spec, config = load_study_spec(store, study), record.spec.config
    target = pick_device(device or ("cuda" if spec.get("resources", {}).get("gpus") else "cpu"))
    trial_data = open_data(data or spec["data"]["address"], config.data, settings, target)
    changes = again.changes_since(record.spec, trial_data.data_hash)
    if not as_json:
        console.print("since the original: " + ("; ".join(changes) or "nothing changed"))
    state = again.rerun_state(
        record.spec, store, target, own_pretrain, fetch_weights(config, settings)
    )
    last = epochs if epochs is not None else max((r.epoch for r in record.reports), default=0)
    total = last + 1 + (0 if state.phase == "semi" else config.pretrain.epochs)
    with epoch_bar(f"rerun {trial}", total, quiet=as_json) as advance:
        for report in again.rerun(state, trial_data, last):
            advance(report)
    verdict = again.compare(record.reports, state.reports)
    if is_recorded:
        again.record_verdict(store, record.spec, verdict, str(target))

    facts = {"study": study, "trial": name, "changes": changes}
    emit(verdict.model_dump() | facts, as_json, lambda: show_verdict(verdict))
    if check and verdict.verdict == "differs":
        raise OutcomeError(f"{trial}: the rerun differs, first in {verdict.first_difference}")
