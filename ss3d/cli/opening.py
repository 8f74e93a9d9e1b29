"""What commands about one trial share: device, data, weights, models, and their options."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ss3d.cli.output import errors
from ss3d.errors import ConfigError

if TYPE_CHECKING:
    import torch

    from ss3d.config import DataConfig, TrialConfig
    from ss3d.data.dataset import Dataset
    from ss3d.data.loader import TrialData
    from ss3d.settings import Settings
    from ss3d.trial.records import EpochReport

DATA = "Prepared data set: a folder or s3://BUCKET/PREFIX."
DataOption = Annotated[str, typer.Option("--data", help=DATA)]
DataArgument = Annotated[str, typer.Argument(help=DATA)]
DeviceOption = Annotated[
    str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.", show_default=True)
]
HomeOption = Annotated[
    Path | None, typer.Option("--home", help="Folder of store, tracking and cache.")
]
StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store", help="Directory or s3://BUCKET/PREFIX of the store; default HOME/store."
    ),
]
PresetOption = Annotated[str, typer.Option("--preset", help="paper, small or tiny.")]


def pick_device(name: str) -> torch.device:
    """Return the device of a name; `auto` takes a GPU if there is one.

    Raises:
        ConfigError: it is not a device, or there is none.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"--device: got {name!r}, expected auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"--device: got {name!r}, but this machine has no CUDA device")
    return device


def open_data(
    address: str, config: DataConfig, settings: Settings, device: torch.device
) -> TrialData:
    """Load what a trial sees of a data set, decoding it into the node cache once."""
    from ss3d.data.loader import load_data

    return load_data(
        open_prepared(address), config, settings.cache_dir, device, limit_bytes=settings.cache_bytes
    )


def open_prepared(address: str) -> Dataset:
    """Open a prepared data set; nothing is written where there is none.

    Raises:
        DataError: there is no data set, or it is empty or damaged.
    """
    from ss3d.data.dataset import open_dataset
    from ss3d.store.opening import open_store

    return open_dataset(open_store(address))


def fetch_weights(config: TrialConfig, settings: Settings) -> Path | None:
    """Return the file of the configuration's backbone weights, from the store."""
    from ss3d.store.opening import open_store
    from ss3d.trial.weights import cached_weights

    if config.model.weights is None:
        return None
    store = open_store(settings.store_address)
    return cached_weights(store, config.model.weights, settings.cache_dir)


def model_directory(model: str, settings: Settings) -> Path:
    """Return the folder with student.safetensors and config.json of a model.

    A directory needs no MLflow; names of registered models and trials do.
    """
    if (directory := local_network(model)) is not None:
        return directory
    from ss3d.tracking.registry import resolve_model

    return resolve_model(settings, model)


def local_network(model: str) -> Path | None:
    """Return the exported network in a directory, or None if the name is not that of one."""
    folder = Path(model)
    for candidate in (folder / "best", folder / "data" / "network", folder):
        if (candidate / "student.safetensors").exists():
            return candidate
    return None


@contextlib.contextmanager
def epoch_bar(title: str, total: int, quiet: bool) -> Iterator[Any]:
    """Show a progress bar over epochs; yields a function that takes a report."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[value]}"),
    )
    with Progress(*columns, console=errors, disable=quiet) as progress:
        task = progress.add_task(title, total=total, value="")

        def advance(report: EpochReport) -> None:
            value = f"val/cd_l1 {report.metrics['val/cd_l1']:.3f}"
            progress.update(task, advance=1, value=value, description=f"{title} · {report.phase}")
            if not quiet and not errors.is_terminal:
                errors.print(f"{report.phase} epoch {report.epoch}: {value}")

        yield advance
