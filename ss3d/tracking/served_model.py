"""The model that MLflow serves: images in, clouds out, preprocessing inside.

MLflow finds `_load_pyfunc` by this module's name in the copy of ss3d that travels with the model.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ss3d.config import TrialConfig
from ss3d.data.border import off_background
from ss3d.data.photo import fit_square
from ss3d.data.views import ViewSpec, cached_side, normalize, preview_image
from ss3d.errors import DataError
from ss3d.model.network import Network
from ss3d.tracking.image_input import Pixels, read_pixels, split_input
from ss3d.trial.export import load_network
from ss3d.trial.files import read_json

Clouds = NDArray[np.float32]

FRAME = "unit ball, canonical frame of the training set, y up, not turned to the camera"
BATCH = 16
"""Images that are reconstructed at once."""

_PLAIN = 0.2
"""More of the border may not be off the background, unless training saw more, too: of a wide photo
only two sides are its own."""


class BackgroundWarning(UserWarning):
    """An image does not stand before the background that training saw."""


@dataclass(frozen=True)
class Seen:
    """An image as the network is shown it."""

    picture: Tensor
    """(1, 3, S, S) in [0, 1]."""
    warning: str = ""
    """Why its cloud may be worse than what was measured, and what to do."""


class ServedModel:
    """A trained network with its preprocessing.

    Clouds are in the unit ball, in the canonical frame of the training set: y up, not turned to
    the camera.
    """

    def __init__(self, network: Network, config: TrialConfig, busiest_border: float) -> None:
        """Wrap a network.

        Args:
            network: in eval mode, on its device.
            config: that it was trained with.
            busiest_border: share of the border off the background in what training saw.
        """
        self._network = network
        self._device = network.shell.device
        self._busiest = max(busiest_border, _PLAIN)
        self.config = config

    def __call__(self, images: object) -> Clouds:
        """Reconstruct each image: `predict` under a shorter name."""
        return self.predict(images)

    def predict(self, model_input: object, params: object = None) -> Clouds:
        """Reconstruct each image; a `BackgroundWarning` names those that training did not prepare.

        Args:
            model_input: one image or several: paths, bytes of image files (also as base64 text),
                or arrays (height, width, 3 or 4) uint8 or float in [0, 1]; a list, an array of
                them, or a table with a column `image`. Transparent pixels are background. A pair
                (image, mask), or a column `mask`, says where the object is.
            params: not used; MLflow passes it.

        Returns:
            (B, N, 3) float32, object units.

        Raises:
            DataError: an image cannot be read, or its mask does not fit; names it.
        """
        seen = [
            self.see(read_pixels(image, f"image {i}", mask))
            for i, (image, mask) in enumerate(split_input(model_input))
        ]
        if not seen:
            raise DataError("predict: got no images, expected at least one")
        for i, one in enumerate(seen):
            if one.warning:
                warnings.warn(f"image {i}: {one.warning}", BackgroundWarning, stacklevel=2)
        batches = [seen[start : start + BATCH] for start in range(0, len(seen), BATCH)]
        return np.concatenate([self.reconstruct(batch) for batch in batches])

    def see(self, pixels: Pixels) -> Seen:
        """Return what the network is shown of (height, width, 4) pixels."""
        data = self.config.data
        side = cached_side(max(pixels.shape[:2]), data.image_size, data.crop)
        square = torch.from_numpy(fit_square(pixels, side).copy())
        background = data.background / 255
        picture = preview_image(
            square[None], ViewSpec(side, data.image_size, data.crop, background)
        )
        share = float(off_background(picture, background))
        return Seen(picture, _warn(share, data.background) if share > self._busiest else "")

    def reconstruct(self, seen: Sequence[Seen]) -> Clouds:
        """Return (B, N, 3) float32, object units, of up to `BATCH` images."""
        with torch.inference_mode():
            views = normalize(torch.cat([one.picture for one in seen]))
            return self._network(views.to(self._device)).float().cpu().numpy()


def load_model(directory: Path, device: torch.device | None = None) -> ServedModel:
    """Load an exported network: student.safetensors, config.json, metrics.json.

    Args:
        directory: that `export_best` wrote.
        device: the CPU if None.

    Raises:
        CheckpointError: a file is missing, damaged or does not fit.
    """
    network, config = load_network(directory, device or torch.device("cpu"))
    busiest = read_json(directory / "metrics.json").get("busiest_border", 0.0)
    return ServedModel(network, config, float(busiest))


def _warn(share: float, background: int) -> str:
    return (
        f"{share:.0%} of its border is not the plain background that training saw (gray level "
        f"{background}); cut the object out, by transparent pixels or a mask, with some margin"
    )


def _load_pyfunc(path: str) -> ServedModel:
    """Load the model for MLflow."""
    return load_model(Path(path))
