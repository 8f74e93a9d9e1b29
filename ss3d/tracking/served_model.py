"""The model that MLflow serves: images in, clouds out, preprocessing inside.

MLflow finds `_load_pyfunc` by this module's name in the copy of ss3d that travels with the model.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ss3d.config import TrialConfig
from ss3d.data.images import decode_rgba, resize_rgba
from ss3d.data.views import ViewSpec, cached_side, eval_view, preview_image
from ss3d.errors import DataError
from ss3d.model.network import Network
from ss3d.trial.export import load_network

Pixels = NDArray[np.uint8]
Clouds = NDArray[np.float32]

_BATCH = 16


class ServedModel:
    """A trained network with its preprocessing.

    Clouds are in the canonical frame of the training set: unit ball, y up, not turned to the
    camera.
    """

    def __init__(self, network: Network, config: TrialConfig) -> None:
        self._network = network
        self.config = config

    def __call__(self, images: object) -> Clouds:
        """Reconstruct each image: `predict` under a shorter name."""
        return self.predict(images)

    def predict(self, model_input: object, params: object = None) -> Clouds:
        """Reconstruct each image.

        Args:
            model_input: one image or several: paths, bytes of image files (also as base64 text),
                or arrays (height, width, 3 or 4) uint8 or float in [0, 1]; a list, an array of
                them, or a table with one column.
            params: not used; MLflow passes it.

        Returns:
            (B, N, 3) float32, object units.

        Raises:
            DataError: an image cannot be read; names it.
        """
        images = [read_pixels(item, f"image {i}") for i, item in enumerate(_items(model_input))]
        if not images:
            raise DataError("predict: got no images, expected at least one")
        clouds = [
            self._forward(images[start : start + _BATCH]) for start in range(0, len(images), _BATCH)
        ]
        return np.concatenate(clouds)

    def previews(self, images: Iterable[Pixels]) -> NDArray[np.float32]:
        """Return what the network is shown as (B, S, S, 3) colours in [0, 1]."""
        shown = [preview_image(*self._prepare(pixels)) for pixels in images]
        return torch.cat(shown).permute(0, 2, 3, 1).clamp(0, 1).numpy()

    def _forward(self, images: list[Pixels]) -> Clouds:
        with torch.inference_mode():
            views = torch.cat([eval_view(*self._prepare(pixels)) for pixels in images])
            return self._network(views).float().numpy()

    def _prepare(self, pixels: Pixels) -> tuple[torch.Tensor, ViewSpec]:
        """Return (1, side, side, 4) uint8 as the node cache would hold it, and how to view it."""
        data = self.config.data
        square = pad_square(pixels)
        side = cached_side(len(square), data.image_size, data.crop)
        view = ViewSpec(side, data.image_size, data.crop, data.background / 255)
        return torch.from_numpy(resize_rgba(square, side).copy())[None], view


def load_model(directory: Path) -> ServedModel:
    """Load an exported network: student.safetensors, config.json, metrics.json.

    Raises:
        CheckpointError: a file is missing, damaged or does not fit.
    """
    return ServedModel(*load_network(directory, torch.device("cpu")))


def read_pixels(item: object, name: str) -> Pixels:
    """Return one image as (height, width, 4) uint8.

    Args:
        item: path, bytes, base64 text of bytes, or array.
        name: what to call it in an error, where it has no name of its own.

    Raises:
        DataError: it is not an image.
    """
    match item:
        case bytes() | bytearray() | memoryview():
            return decode_rgba(bytes(item), name)
        case str() if (data := _base64_image(item)) is not None:
            return decode_rgba(data, name)
        case str() | Path():
            return read_image(Path(item))
        case np.ndarray() | list():
            return _from_array(np.asarray(item), name)
        case _:
            raise DataError(f"{name}: got {type(item).__name__}, expected a path, bytes or array")


def read_image(path: Path) -> Pixels:
    """Return an image file as (height, width, 4) uint8.

    Raises:
        DataError: there is no such file, or it is not an image.
    """
    try:
        return decode_rgba(path.read_bytes(), str(path))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def pad_square(pixels: Pixels) -> Pixels:
    """Return the image centred on a square of transparent pixels."""
    height, width = pixels.shape[:2]
    side = max(height, width)
    if height == width:
        return pixels
    square = np.zeros((side, side, 4), dtype=np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = pixels
    return square


def _items(model_input: object) -> list[object]:
    """Return the images of an input: one, a list, an array of them, or a table's first column."""
    if hasattr(model_input, "iloc"):  # a pandas table: MLflow makes one of lists and JSON
        return list(model_input.iloc[:, 0])
    match model_input:
        case np.ndarray() if model_input.ndim in (1, 4):
            return list(model_input)
        case list() | tuple():
            return list(model_input)
        case _:
            return [model_input]


def _base64_image(text: str) -> bytes | None:
    """Return the bytes of a PNG, JPEG or WebP file in base64, or None if the text is a path."""
    body = text.partition(",")[2] if text.startswith("data:") else text
    if not body.startswith(("iVBORw0KGgo", "/9j/", "UklGR")):
        return None
    try:
        return base64.b64decode("".join(body.split()), validate=True)  # MLflow's has line breaks
    except binascii.Error:
        return None


def _from_array(array: NDArray[np.generic], name: str) -> Pixels:
    if array.ndim != 3 or array.shape[2] not in (3, 4) or 0 in array.shape:
        raise DataError(f"{name}: got shape {array.shape}, expected (height, width, 3 or 4)")
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


def _load_pyfunc(path: str) -> ServedModel:
    """Load the model for MLflow."""
    return load_model(Path(path))
