"""Photos as square pictures: cut around an object, or padded to a square."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ss3d.data.images import resize_photo, resize_rgba
from ss3d.errors import DataError

MARGIN = 1.2
"""Side of the square around an object, in the longer side of its box (method section 11.2)."""
MAX_SIDE = 12 * 1024
"""A larger square is refused: a photo of few pixels that is long makes one of many."""
_PADDING = (255, 255, 255, 0)


def cut_object(
    photo: NDArray[np.uint8], mask: NDArray[np.uint8], box: Sequence[float], side: int
) -> NDArray[np.uint8]:
    """Return the square around an object; white, and outside the mask, where the photo ends.

    Args:
        photo: (height, width, >= 3) uint8.
        mask: (height, width) uint8, 255 on the object.
        box: x0, y0, x1, y1 in pixels; what of it lies outside the photo does not count.
        side: of the result in pixels.

    Returns:
        (side, side, 4) uint8; alpha is the mask, colors are the photo's everywhere.

    Raises:
        DataError: no part of the box lies in the photo, or the square would be too large.
    """
    height, width = mask.shape
    x0, x1 = np.clip((box[0], box[2]), 0, width)
    y0, y1 = np.clip((box[1], box[3]), 0, height)
    if not (x1 > x0 and y1 > y0):
        raise DataError(f"got the box {list(box)}, but the image has {width}x{height} pixels")
    edge = max(1, round(MARGIN * max(x1 - x0, y1 - y0)))
    left, top = round((x0 + x1 - edge) / 2), round((y0 + y1 - edge) / 2)
    pixels = np.dstack((photo[..., :3], mask))
    return resize_photo(_window(pixels, top, left, edge), side)


def fit_square(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return a whole picture in the middle of a square; transparent where the picture ends.

    Args:
        pixels: (height, width, 4) uint8, alpha not multiplied in.
        side: of the result in pixels.

    Raises:
        DataError: the square would be too large.
    """
    height, width = pixels.shape[:2]
    edge = max(height, width)
    return resize_rgba(_window(pixels, (height - edge) // 2, (width - edge) // 2, edge), side)


def _window(pixels: NDArray[np.uint8], top: int, left: int, edge: int) -> NDArray[np.uint8]:
    """Return a square part of a picture that may reach beyond it.

    Raises:
        DataError: it is too large.
    """
    if edge > MAX_SIDE:
        raise DataError(
            f"too large an image: a square around it has {edge} pixels a side, expected at most "
            f"{MAX_SIDE}; cut or reduce it"
        )
    height, width = pixels.shape[:2]
    square = np.full((edge, edge, 4), _PADDING, np.uint8)
    rows, columns = (max(0, top), min(height, top + edge)), (max(0, left), min(width, left + edge))
    part = pixels[slice(*rows), slice(*columns)]
    y, x = rows[0] - top, columns[0] - left
    square[y : y + part.shape[0], x : x + part.shape[1]] = part
    return square
