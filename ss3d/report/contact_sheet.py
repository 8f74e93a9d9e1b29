"""Many predictions on one page: every image with its cloud beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ss3d.report.clouds import Array
from ss3d.report.figures_balls import Frame, draw_balls
from ss3d.report.figures_sheet import AZIMUTH, MODEL_COLOR
from ss3d.report.pictures import Example, reach_of

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

MOST = 240
"""Examples on one sheet."""
_CELL = 144
_CAPTION = 15
_COLUMNS = 5
_MOST_LETTERS = 44


def draw_contact_sheet(path: Path, examples: Sequence[Example]) -> None:
    """Write a PNG, all clouds with one camera and scale.

    Args:
        path: of the PNG; its folder is made.
        examples: 1 to `MOST`, in reading order.
    """
    from PIL import Image, ImageDraw

    assert 0 < len(examples) <= MOST
    columns = min(_COLUMNS, len(examples))
    rows = math.ceil(len(examples) / columns)
    sheet = Image.new("RGB", (columns * 2 * _CELL, rows * (_CELL + _CAPTION)), "white")
    pen = ImageDraw.Draw(sheet)
    reach = reach_of([example.predicted for example in examples])
    frame = Frame(AZIMUTH, half_width=reach, half_height=reach)
    for place, example in enumerate(examples):
        left, top = place % columns * 2 * _CELL, place // columns * (_CELL + _CAPTION)
        cloud = draw_balls(example.predicted, np.array(MODEL_COLOR), frame, _CELL / (2 * reach))
        sheet.paste(_cell(example.image), (left, top + _CAPTION))
        sheet.paste(_cell(cloud), (left + _CELL, top + _CAPTION))
        pen.text((left + 3, top + 2), example.name[-_MOST_LETTERS:], fill="#52525b")
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)


def _cell(pixels: Array) -> Picture:
    """Return (S, S, 3) in [0, 1] as a cell of the sheet."""
    from PIL import Image

    picture = Image.fromarray(np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8))
    return picture.resize((_CELL, _CELL), Image.Resampling.LANCZOS)
