"""`ss3d predict`: a model's clouds of images and folders of images."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from ss3d.cli.opening import DeviceOption, HomeOption, StoreOption, model_directory, pick_device
from ss3d.cli.output import JsonFlag, console, emit, errors
from ss3d.cli.prediction_files import CloudFormat, Work, list_work
from ss3d.errors import ConfigError, DataError
from ss3d.settings import load_settings

if TYPE_CHECKING:
    from ss3d.report.pictures import Example
    from ss3d.tracking.served_model import ServedModel

_MOST_ROWS = 24
"""Images in a picture or a viewer; a sheet shows more."""
_MOST_LINES = 20
"""Clouds that are listed for a person."""


@dataclass(frozen=True)
class _Shown:
    """Where predictions are drawn."""

    picture: Path | None
    sheet: Path | None
    viewer: Path | None

    def check(self) -> None:
        for name, suffix in {"picture": ".png", "sheet": ".png", "viewer": ".html"}.items():
            path = getattr(self, name)
            if path is not None and path.suffix != suffix:
                raise ConfigError(f"--{name}: got {path.name!r}, expected a name in {suffix}")

    def describe(self) -> dict[str, str | None]:
        return {name: None if path is None else str(path) for name, path in vars(self).items()}

    @property
    def most(self) -> int:
        """Return how many examples must be kept."""
        from ss3d.report.contact_sheet import MOST

        return MOST if self.sheet else _MOST_ROWS if self.picture or self.viewer else 0


@dataclass
class _Outcome:
    """What became of the images."""

    clouds: list[dict[str, Any]] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    """Image to what is wrong with it."""
    examples: list[Example] = field(default_factory=list)


def predict(
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE|FOLDER…", help="PNG, JPEG, … files, or folders.")
    ],
    model: Annotated[
        str,
        typer.Option("--model", help="models:/NAME@champion, STUDY/t00017 or a train directory."),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="cloud.ply or cloud.npy; or a folder.")
    ],
    mask: Annotated[
        Path | None,
        typer.Option("--mask", help="Where the object is: an image, or a folder of same names."),
    ] = None,
    cloud_format: Annotated[
        CloudFormat, typer.Option("--format", help="Of clouds in a folder.")
    ] = "ply",
    picture: Annotated[
        Path | None, typer.Option("--picture", help="PNG: input and prediction from four sides.")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option("--sheet", help="PNG: contact sheet of inputs with their clouds.")
    ] = None,
    viewer: Annotated[
        Path | None, typer.Option("--viewer", help="HTML: clouds that turn with the mouse.")
    ] = None,
    device: DeviceOption = "auto",
    home: HomeOption = None,
    store: StoreOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Reconstruct the object in each image as a cloud: unit ball, canonical frame, y up.

    Transparent pixels are background; so is what a mask leaves out. An image
    whose background is not as in training is named with a warning. Folders are
    searched with all that they hold. An image that cannot be read is named, the
    others are done, and the exit code is 3.

    Examples:
      ss3d predict chair.png --model models:/chairs@champion -o chair.ply
      ss3d predict chair.png --model paper/t00017 -o chair.npy --picture 3d.png
      ss3d predict photos --model runs/first -o clouds --viewer clouds.html
      ss3d predict photos --mask masks --model runs/first -o clouds --sheet c.png
    """
    from ss3d.tracking.served_model import load_model

    shown = _Shown(picture, sheet, viewer)
    shown.check()
    work, skipped = list_work(images, mask, output, cloud_format)
    settings = load_settings(home=home, store=store)
    served = load_model(model_directory(model, settings), pick_device(device))
    outcome = _Outcome()
    with _bar(len(work), quiet=as_json) as advance:
        _reconstruct(served, work, outcome, shown.most, advance)
    if outcome.examples:
        _draw(shown, outcome.examples, model)
    value = {
        "model": model,
        "predictions": outcome.clouds,
        "failed": outcome.failed,
        "skipped": [str(path) for path in skipped],
        **shown.describe(),
    }
    emit(value, as_json, lambda: _say(outcome, skipped, shown))
    _report(outcome, len(work))


def _reconstruct(
    served: ServedModel,
    work: Sequence[Work],
    outcome: _Outcome,
    most: int,
    advance: Callable[[int], None],
) -> None:
    """Write the cloud of every image that can be read, batch by batch."""
    from ss3d.report.clouds import write_cloud
    from ss3d.report.pictures import Example
    from ss3d.tracking.image_input import read_pixels
    from ss3d.tracking.served_model import BATCH, Seen

    for start in range(0, len(work), BATCH):
        batch: list[tuple[Work, Seen]] = []
        for one in work[start : start + BATCH]:
            try:
                batch.append((one, served.see(read_pixels(one.image, str(one.image), one.mask))))
            except DataError as error:
                outcome.failed[str(one.image)] = str(error)
        clouds = served.reconstruct([seen for _, seen in batch]) if batch else ()
        for (one, seen), cloud in zip(batch, clouds, strict=True):
            write_cloud(one.cloud, cloud)
            outcome.clouds.append(
                {
                    "image": str(one.image),
                    "cloud": str(one.cloud),
                    "num_points": len(cloud),
                    "warning": seen.warning,
                }
            )
            if len(outcome.examples) < most:
                image = seen.picture[0].permute(1, 2, 0).clamp(0, 1).numpy()
                outcome.examples.append(Example(one.image.name, image, cloud))
        advance(len(work[start : start + BATCH]))


def _draw(shown: _Shown, examples: list[Example], title: str) -> None:
    from ss3d.report.contact_sheet import draw_contact_sheet
    from ss3d.report.figures_sheet import reconstructions
    from ss3d.report.figures_viewer import write_viewer
    from ss3d.report.pictures import draw_reconstructions

    rows = examples[:_MOST_ROWS]
    if shown.picture is not None:
        draw_reconstructions(shown.picture, rows, title)
    if shown.viewer is not None:
        write_viewer(shown.viewer, reconstructions(rows, title))
    if shown.sheet is not None:
        draw_contact_sheet(shown.sheet, examples)


@contextlib.contextmanager
def _bar(total: int, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Show a progress bar over images where there is more than a moment to wait."""
    from rich.progress import Progress

    with Progress(console=errors, transient=True, disable=quiet or total == 1) as bar:
        task = bar.add_task("predicting", total=total)
        yield lambda done: bar.advance(task, done)


def _say(outcome: _Outcome, skipped: list[Path], shown: _Shown) -> None:
    lines = [f"{one['image']} → {one['cloud']}" for one in outcome.clouds[:_MOST_LINES]]
    if len(outcome.clouds) > _MOST_LINES:
        folder = Path(outcome.clouds[-1]["cloud"]).parent
        lines.append(f"… {len(outcome.clouds)} clouds; the last in {folder}")
    if skipped:
        lines.append(f"skipped, not images: {len(skipped)}, e.g. {skipped[0]}")
    for name, path in shown.describe().items():
        if path is not None and outcome.clouds:
            most = min(len(outcome.examples), shown.most if name == "sheet" else _MOST_ROWS)
            rest = f" (the first {most} images)" if most < len(outcome.clouds) else ""
            lines.append(f"{name}: {path}{rest}")
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


def _report(outcome: _Outcome, count: int) -> None:
    """Name what was odd on stderr; fail if an image could not be read."""
    for one in outcome.clouds:
        if one["warning"]:
            text = f"{one['image']}: {one['warning']}"
            errors.print(Text(text, style="yellow"), soft_wrap=True)
    if count == 1 and outcome.failed:
        raise DataError(next(iter(outcome.failed.values())))
    for problem in outcome.failed.values():
        errors.print(Text(problem, style="yellow"), soft_wrap=True)
    if outcome.failed:
        raise DataError(f"{len(outcome.failed)} of {count} images cannot be used; the rest is done")
