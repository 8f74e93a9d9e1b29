"""Images as users hand them over: paths, bytes, base64 text, arrays; alone or with a mask."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ss3d.data.images import MAX_PIXELS, decode_rgba
from ss3d.errors import DataError

Pixels = NDArray[np.uint8]

MAX_BYTES = 4 * MAX_PIXELS
"""A larger file is not read."""
IMAGE, MASK = "image", "mask"
"""Columns of a table."""


def split_input(model_input: object) -> Iterator[tuple[object, object]]:
    """Yield every image of an input with its mask, or None.

    Args:
        model_input: an image or several: a list, an array (B, height, width, 3 or 4), or a table
            whose column `image`, or only column, holds them, with a column `mask` or without.
            An image may be a pair (image, mask).
    """
    for item in _items(model_input):
        image, mask = item if isinstance(item, tuple) and len(item) == 2 else (item, None)
        yield image, None if _is_missing(mask) else mask


def read_pixels(item: object, name: str, mask: object = None) -> Pixels:
    """Return one image as (height, width, 4) uint8; alpha is 0 where the mask is not.

    Args:
        item: path, bytes, base64 text of bytes, or array (height, width, 3 or 4).
        name: what to call it in an error, where it has no name of its own.
        mask: of the same height and width, in any of these forms; its alpha if it has one, else
            its brightness says where the object is.

    Raises:
        DataError: it is not an image, too large, or the mask does not fit.
    """
    pixels = _read(item, name)
    height, width = pixels.shape[:2]
    if max(height, width) > math.isqrt(MAX_PIXELS):  # it is padded to a square
        raise DataError(
            f"{name}: too large an image: {width}x{height} pixels, expected at most "
            f"{math.isqrt(MAX_PIXELS)} a side; crop it to the object"
        )
    return pixels if mask is None else _cut(pixels, _read(mask, f"{name}: mask"), name)


def _cut(pixels: Pixels, mask: Pixels, name: str) -> Pixels:
    """Return the image, transparent outside the mask, whose greatest value counts as opaque."""
    if mask.shape != pixels.shape:
        (height, width), (rows, columns) = pixels.shape[:2], mask.shape[:2]
        raise DataError(
            f"{name}: got a mask of {columns}x{rows} pixels, expected {width}x{height} as the image"
        )
    opaque = bool((mask[..., 3] == 255).all())
    inside = mask[..., :3].max(axis=2) if opaque else mask[..., 3]
    if not inside.any():
        raise DataError(f"{name}: its mask is empty, expected white or opaque pixels on the object")
    alpha = np.rint(inside * (255 / inside.max())).astype(np.uint8)
    return np.dstack((pixels[..., :3], np.minimum(pixels[..., 3], alpha)))


def _items(model_input: object) -> list[Any]:
    if hasattr(model_input, "iloc"):  # a pandas table: MLflow makes one of JSON
        table: Any = model_input
        first = table[IMAGE] if IMAGE in table else table.iloc[:, 0]
        masks = table[MASK] if MASK in table else [None] * len(table)
        return list(zip(first, masks, strict=True))
    match model_input:
        case np.ndarray() if model_input.ndim in (1, 4):
            return list(model_input)
        case list():
            return list(model_input)
        case _:
            return [model_input]


def _is_missing(mask: object) -> bool:
    """Return whether a mask is left out: None, empty, or the NaN of a table."""
    if isinstance(mask, float):
        return math.isnan(mask)
    return mask is None or (isinstance(mask, str | bytes) and not mask)


def _read(item: object, name: str) -> Pixels:
    match item:
        case bytes() | bytearray() | memoryview():
            data = bytes(item)
            return _decode(_base64_image(data) or data, name)
        case str() if (data := _base64_image(item.encode())) is not None:
            return _decode(data, name)
        case str() | Path():
            return _read_file(Path(item))
        case np.ndarray() | list():
            return _from_array(np.asarray(item), name)
        case _:
            raise DataError(f"{name}: got {type(item).__name__}, expected a path, bytes or array")


def _read_file(path: Path) -> Pixels:
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise DataError(f"{path}: too large an image: {size} bytes, read are {MAX_BYTES}")
        return _decode(path.read_bytes(), str(path))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def _decode(data: bytes, name: str) -> Pixels:
    return decode_rgba(data, name, upright=True)


def _base64_image(text: bytes) -> bytes | None:
    """Return the bytes of a PNG, JPEG or WebP file in base64, or None if it is something else."""
    body = text.partition(b",")[2] if text.startswith(b"data:") else text
    if not body.startswith((b"iVBORw0KGgo", b"/9j/", b"UklGR")):
        return None
    try:
        return base64.b64decode(b"".join(body.split()), validate=True)  # MLflow's has line breaks
    except binascii.Error:
        return None


def _from_array(array: NDArray[np.generic], name: str) -> Pixels:
    """Return an array as pixels; a mask may be (height, width)."""
    if array.ndim == 2:
        array = np.repeat(array[..., None], 3, axis=2)
    if array.ndim != 3 or array.shape[2] not in (3, 4) or 0 in array.shape:
        raise DataError(f"{name}: got shape {array.shape}, expected (height, width, 3 or 4)")
    if array.dtype == bool:
        array = array.astype(np.float32)
    if array.dtype.kind == "f":
        if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
            raise DataError(f"{name}: got floats outside [0, 1]")
        array = np.rint(array.astype(np.float64) * 255)
    elif array.dtype.kind not in "ui" or array.min() < 0 or array.max() > 255:
        raise DataError(f"{name}: got {array.dtype}, expected uint8 or floats in [0, 1]")
    pixels = array.astype(np.uint8)
    if pixels.shape[2] == 4:
        return pixels
    opaque = np.full((*pixels.shape[:2], 1), 255, dtype=np.uint8)
    return np.concatenate((pixels, opaque), axis=2)
