"""`ss3d data`: prepare data sets and look at them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ss3d.cli import prepare
from ss3d.cli.manifest_table import show_manifest
from ss3d.cli.opening import DataArgument, open_prepared
from ss3d.cli.output import JsonFlag, console, emit
from ss3d.errors import ConfigError

app = typer.Typer(
    help="Prepare data sets and look at them.", no_args_is_help=True, rich_markup_mode="rich"
)
app.add_typer(prepare.app, name="prepare")


@app.command()
def info(
    data: DataArgument,
    sheet: Annotated[
        Path | None, typer.Option(help="Write a PNG of images with their clouds.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show what a data set holds.

    Examples:
      ss3d data info data/shapenet --sheet sheet.png
    """
    dataset = open_prepared(data)
    if sheet is not None:
        if sheet.suffix.lower() != ".png":
            raise ConfigError(f"--sheet: got {sheet.name!r}, expected a name that ends in .png")
        from ss3d.data.sheet import draw_sheet

        drawn = draw_sheet(dataset)
        sheet.parent.mkdir(parents=True, exist_ok=True)
        drawn.save(sheet)
    show_manifest(dataset.manifest, data, as_json)


@app.command()
def view(
    data: DataArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="PNG to write.")],
    model: Annotated[
        str | None, typer.Option(help="Model id; default the first of the split.")
    ] = None,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    number: Annotated[int, typer.Option("--view", min=0, help="Number of the view.")] = 0,
    mask: Annotated[
        bool, typer.Option("--mask", help="Make a photo transparent outside its mask.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Write one view as a PNG, e.g. to predict from it.

    Examples:
      ss3d data view demo/data --split test -o chair.png
    """
    from ss3d.data.images import without_alpha

    dataset = open_prepared(data)
    for item in dataset.models():
        if model in (item.model_id, f"{item.category}/{item.model_id}") or (
            model is None and item.split == split
        ):
            break
    else:
        wanted = model or f"of split {split}, expected train, val or test"
        raise ConfigError(f"{data}: there is no model {wanted}")
    if number >= len(item.images):
        raise ConfigError(
            f"--view: got {number}, {item.model_id} has views 0..{len(item.images) - 1}"
        )
    opaque = dataset.manifest.alpha == "mask" and not mask
    image = item.images[number]
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(without_alpha(image, item.key) if opaque else image)
    found = {"model": item.model_id, "category": item.category, "view": number, "file": str(output)}
    emit(found, as_json, lambda: console.print(f"{item.category}/{item.model_id} -> {output}"))
