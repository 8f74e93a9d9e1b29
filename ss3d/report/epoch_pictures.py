"""Predictions over the epochs of a trial: one picture of all, and one of each to slide through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ss3d.report.clouds import Array
from ss3d.report.figures_balls import Frame, draw_balls, frame_around
from ss3d.report.figures_choice import Choice, Model
from ss3d.report.figures_paper import draw_sheet
from ss3d.report.figures_sheet import AZIMUTH, MODEL_COLOR, TRUTH_COLOR, comparison
from ss3d.report.previews import Previews

Pixels = NDArray[np.uint8]

_SIDE = 192
"""Pixels of an object in the picture of one epoch."""


def draw_epochs(path: Path, epochs: Mapping[int, Previews], title: str) -> None:
    """Write rows of objects: input | prediction after each epoch | ground truth.

    Args:
        path: of the PNG; its folder is made.
        epochs: what was kept of the same objects, at least one epoch, in order.
        title: a line above.
    """
    models = [
        Model(f"epoch {epoch}", title, previews, MODEL_COLOR) for epoch, previews in epochs.items()
    ]
    first = next(iter(epochs.values()))
    choice = Choice(first.ids, "spread evenly over the validation models")
    draw_sheet(path, comparison(models, choice, AZIMUTH, title))


def epoch_pictures(epochs: Mapping[int, Previews]) -> dict[int, Pixels]:
    """Return by epoch (height, width, 3) uint8: a row per object, input | prediction | truth."""
    every = [cloud for one in epochs.values() for cloud in (*one.predicted, *one.target)]
    frame = frame_around(every, [AZIMUTH])
    reach = max(frame.half_width, frame.half_height)
    square = replace(frame, half_width=reach, half_height=reach)
    return {epoch: _picture(previews, square) for epoch, previews in epochs.items()}


def _picture(previews: Previews, frame: Frame) -> Pixels:
    rows = []
    for name, predicted, target in zip(
        previews.ids, previews.predicted, previews.target, strict=True
    ):
        clouds = ((predicted, MODEL_COLOR), (target, TRUTH_COLOR))
        per_unit = _SIDE / (2 * frame.half_width)
        balls = [
            _as_bytes(draw_balls(cloud, np.array(color), frame, per_unit))
            for cloud, color in clouds
        ]
        rows.append(np.concatenate([_input(previews.images[name]), *balls], axis=1))
    return np.concatenate(rows)


def _input(image: Array) -> Pixels:
    """Return an input image in the size of a drawn cloud."""
    from PIL import Image

    pixels = Image.fromarray(_as_bytes(image))
    return np.asarray(pixels.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS))


def _as_bytes(colors: Array) -> Pixels:
    return np.rint(255 * colors).astype(np.uint8)
