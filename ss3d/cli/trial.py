"""One trial without a study: train it in a directory, list its parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from ss3d.cli.opening import (
    DataOption,
    DeviceOption,
    HomeOption,
    PresetOption,
    StoreOption,
    epoch_bar,
    fetch_weights,
    open_data,
    pick_device,
)
from ss3d.cli.options import SetOption, parse_assignments
from ss3d.cli.output import JsonFlag, console, emit, errors
from ss3d.config import TrialConfig, canonical_json, field_marks
from ss3d.settings import load_settings


def train(
    data: DataOption,
    output: Annotated[Path, typer.Option("--output", "-o", help="Directory of the trial.")],
    preset: PresetOption = "paper",
    assignments: SetOption = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue where it stopped.")] = False,
    device: DeviceOption = "auto",
    home: HomeOption = None,
    store_address: StoreOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Train one trial in this process: no Ray, Optuna or MLflow.

    Ctrl-C leaves it resumable: the same command with --resume goes on from the last epoch, with
    the same numbers as an unbroken run.

    Examples:
      ss3d train --preset tiny --data demo-data -o runs/first
      ss3d train --preset small --data shapes -o all --set data.labeled_ratio=1
    """
    from ss3d.trial.directory import open_directory, train_in_directory

    settings = load_settings(home=home, store=store_address)
    config = TrialConfig.from_preset(preset).override(parse_assignments(assignments))
    target = pick_device(device)
    trial_data = open_data(data, config.data, settings, target)
    weights = fetch_weights(config, settings)
    state = open_directory(output, config, trial_data, resume, weights, target)
    done = list(state.reports)
    epochs = config.pretrain.epochs + (1 + config.semi.epochs if config.semi.enabled else 1)
    with epoch_bar("training", epochs, quiet=as_json) as advance:
        for report in done:
            advance(report)
        try:
            for report in train_in_directory(state, trial_data, output):
                done.append(report)
                advance(report)
        except KeyboardInterrupt:
            errors.print("interrupted; the same command with --resume goes on")
            raise
    best = state.best_value if state.best_epoch else state.pretrained_value
    value = {
        "directory": str(output),
        "epochs": len(done),
        "best_epoch": state.best_epoch,
        "best": best,
        "metrics": done[-1].metrics,
        "seconds": sum(report.system["epoch_s"] for report in done),
    }

    def show() -> None:
        console.print(
            f"done: val/cd_l1 {done[-1].metrics['val/cd_l1']:.3f}, best {best:.3f}; "
            f"weights in {output / 'best'}"
        )
        console.print(f"next: ss3d evaluate {output} --data {data} --split test", highlight=False)

    emit(value, as_json, show)


def config(
    preset: PresetOption = "paper", assignments: SetOption = None, as_json: JsonFlag = False
) -> None:
    """List every parameter with its value, its phase and what it means.

    Trials that agree in all parameters of the phase `pretrain` share one pretrained state.

    Examples:
      ss3d config --preset small
      ss3d config --set model.num_heads=4 --json
    """
    chosen = TrialConfig.from_preset(preset).override(parse_assignments(assignments))
    values = chosen.flatten()

    def show() -> None:
        table = Table(title=f"preset {preset}", box=SIMPLE_HEAD, pad_edge=False)
        table.add_column("parameter", no_wrap=True)
        for name in ("value", "phase", "meaning"):
            table.add_column(name)
        for path, mark in field_marks():
            group, _, field = path.partition(".")
            info = type(getattr(chosen, group)).model_fields[field]
            value = Text(canonical_json(values[path]))
            table.add_row(path, value, mark.phase if mark else "", Text(info.description or ""))
        console.print(table)

    emit(values, as_json, show)
