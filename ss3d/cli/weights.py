"""`ss3d weights`: backbone weights in the store, addressed by their sha256."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Literal

import typer

from ss3d.cli.opening import HomeOption, StoreOption
from ss3d.cli.output import JsonFlag, console, emit
from ss3d.errors import ConfigError
from ss3d.settings import load_settings

app = typer.Typer(help="Backbone weights.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Keep backbone weights where every worker finds them."""


@app.command()
def add(
    backbone: Annotated[Literal["resnet50"], typer.Argument(help="resnet50.")],
    source: Annotated[
        str, typer.Argument(help="A .safetensors file with torchvision's names, or torchvision.")
    ],
    home: HomeOption = None,
    store: StoreOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Add ResNet-50 weights and print the sha256 that `model.weights` takes.

    Examples:
      ss3d weights add resnet50 torchvision
      ss3d weights add resnet50 resnet50.safetensors
    """
    from ss3d.model.image_encoder import torchvision_weights
    from ss3d.store.opening import open_store
    from ss3d.trial.files import write_tensors
    from ss3d.trial.weights import add_weights

    opened = open_store(load_settings(home=home, store=store).store_address)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(source)
        if source == "torchvision":
            path = Path(folder) / "weights.safetensors"
            write_tensors(path, torchvision_weights())
        if not path.is_file() or path.suffix != ".safetensors":
            raise ConfigError(
                f"weights: got {source!r}, expected a .safetensors file or torchvision"
            )
        sha = add_weights(opened, path)

    def show() -> None:
        console.print(f"use it by --set model.weights={sha}", highlight=False, soft_wrap=True)

    emit({"backbone": backbone, "sha256": sha}, as_json, show)
