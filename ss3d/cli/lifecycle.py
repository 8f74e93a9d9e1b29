"""After the search: predict with a model, look at MLflow, write it again."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from ss3d.cli.opening import HomeOption, StoreOption, model_directory
from ss3d.cli.output import JsonFlag, console, emit, errors
from ss3d.errors import CheckpointError, ConfigError
from ss3d.settings import Settings, load_settings

if TYPE_CHECKING:
    from ss3d.store.protocol import Store


def predict(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE…", help="PNG, JPEG, … files.")],
    model: Annotated[
        str,
        typer.Option("--model", help="models:/NAME@champion, STUDY/t00017 or a train directory."),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="cloud.ply or cloud.npy; or a folder.")
    ],
    picture: Annotated[
        Path | None, typer.Option("--picture", help="PNG: input and prediction from four sides.")
    ] = None,
    home: HomeOption = None,
    store: StoreOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Reconstruct the object in each image as a cloud: unit ball, canonical frame, y up.

    Transparent pixels count as white. Several images go to a folder, one .ply each.

    Examples:
      ss3d predict chair.png --model models:/chairs@champion -o chair.ply --picture chair-3d.png
      ss3d predict photos/*.png --model paper/t00017 -o clouds
      ss3d predict chair.png --model runs/first -o chair.npy --json
    """
    from ss3d.report.clouds import write_cloud
    from ss3d.report.pictures import Example, draw_reconstructions
    from ss3d.tracking.served_model import load_model, read_image

    settings = load_settings(home=home, store=store)
    targets = cloud_paths(images, output)
    pixels = [read_image(image) for image in images]
    served = load_model(model_directory(model, settings))
    clouds = served.predict(pixels)
    for target, cloud in zip(targets, clouds, strict=True):
        write_cloud(target, cloud)
    if picture is not None:
        names = [image.name for image in images]
        shown = zip(names, served.previews(pixels), clouds, strict=True)
        draw_reconstructions(picture, [Example(*item) for item in shown], title=model)
    value = {
        "model": model,
        "predictions": [
            {"image": str(image), "cloud": str(target), "num_points": len(cloud)}
            for image, target, cloud in zip(images, targets, clouds, strict=True)
        ],
        "picture": None if picture is None else str(picture),
    }

    def show() -> None:
        for image, target in zip(images, targets, strict=True):
            console.print(f"{image} → {target}", highlight=False, soft_wrap=True)
        if picture is not None:
            console.print(f"picture: {picture}", highlight=False, soft_wrap=True)

    emit(value, as_json, show)


def ui(
    study: Annotated[
        str | None, typer.Argument(help="Open at this study's runs.", show_default=False)
    ] = None,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="On loopback; 0 takes a free one.")
    ] = 5000,
    home: HomeOption = None,
    store: StoreOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Open MLflow's pages on the tracking store, also while a search runs; Ctrl-C ends them.

    Examples:
      ss3d ui
      ss3d ui quickstart --port 0
    """
    from ss3d.tracking.server import page_of, serve_pages
    from ss3d.trial.history import load_study_spec

    settings = load_settings(home=home, store=store)
    spec = None if study is None else load_study_spec(_store(settings), study)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))  # so that the server ends with us
    if not as_json:
        console.print("starting MLflow …")
    with serve_pages(settings, port) as (address, process):
        page = address if spec is None else page_of(settings, address, spec)
        value = {"url": page, "tracking": settings.tracking_uri, "pid": process.pid}
        emit(value, as_json, lambda: console.print(f"MLflow: {page}   (Ctrl-C ends it)"))
        process.wait()


def sync(
    study: Annotated[str, typer.Argument(help="Name of the study.")],
    home: HomeOption = None,
    store: StoreOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Bring MLflow up to date with the store: writes only what is missing.

    Damaged trials are named and the others written; the exit code is then 3.

    Examples:
      ss3d sync quickstart
    """
    from ss3d.cli.importance import known_importances
    from ss3d.tracking.resync import sync as write_again

    settings = load_settings(home=home, store=store)
    counts = write_again(_store(settings), settings, study, known_importances)

    def show() -> None:
        console.print(
            f"{study}: {counts['trials']} trials, {counts['shared']} pretrains and controls are "
            f"in MLflow; written now: {counts['runs']} runs, {counts['epochs']} epochs, "
            f"{counts['files']} files",
            highlight=False,
            soft_wrap=True,
        )

    emit(counts, as_json, show)
    for name, problem in counts["problems"].items():
        errors.print(Text(f"{name}: {problem}", style="yellow"), soft_wrap=True)
    if counts["problems"]:
        raise CheckpointError(f"{study}: {len(counts['problems'])} damaged; the rest is in MLflow")


def cloud_paths(images: list[Path], output: Path) -> list[Path]:
    """Return where each image's cloud goes.

    Args:
        images: at least one.
        output: a `.ply` or `.npy` file for one image, else a folder.

    Raises:
        ConfigError: several images and one file.
    """
    is_file = output.suffix in (".ply", ".npy")
    if is_file and len(images) > 1:
        raise ConfigError(
            f"--output: got the file {output} for {len(images)} images; name a folder"
        )
    if is_file:
        return [output]
    if output.suffix and not output.is_dir():
        raise ConfigError(f"--output: got {output}, expected .ply, .npy or a folder")
    paths: list[Path] = []
    for image in images:
        path, number = output / f"{image.stem}.ply", 2
        while path in paths:
            path, number = output / f"{image.stem}-{number}.ply", number + 1
        paths.append(path)
    return paths


def _store(settings: Settings) -> Store:
    from ss3d.store.opening import open_store

    return open_store(settings.store_address)
