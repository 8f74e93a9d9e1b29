"""A network as an ONNX file, for those who have no torch: one file, no pickle, checked.

`torch.export` has a format of its own, but its loader unpickles what is in the file.
"""

from __future__ import annotations

import importlib
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ss3d.config import TrialConfig
from ss3d.data.views import normalize
from ss3d.errors import ConfigError, OutcomeError
from ss3d.model.network import Network

TOLERANCE = 1e-4
"""A coordinate may differ by so much, in object units."""
IMAGES, CLOUDS = "images", "clouds"
_BATCHES = (1, 3)


class _Portable(nn.Module):
    """Pictures in [0, 1] to clouds: normalization inside."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network(normalize(images))


def write_onnx(path: Path, network: Network, config: TrialConfig) -> float:
    """Write `images` (B, 3, S, S) in [0, 1] over the background to `clouds` (B, N, 3).

    Args:
        path: its folder is made; the file appears only if `compare_onnx` finds no fault.
        network: in eval mode, on the CPU.
        config: that it was trained with.

    Returns:
        The greatest difference of a coordinate.

    Raises:
        ConfigError: the packages for ONNX are not installed.
        OutcomeError: the file's clouds are others.
    """
    _import_runtime()
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    try:
        _export(fresh, network, config)
        greatest = compare_onnx(fresh, network, config)
        fresh.rename(path)
    finally:
        fresh.unlink(missing_ok=True)
    return greatest


def compare_onnx(path: Path, network: Network, config: TrialConfig) -> float:
    """Return by how much ONNX Runtime's clouds differ from the network's, for two sizes of batch.

    Raises:
        ConfigError: the packages for ONNX are not installed.
        OutcomeError: by more than `TOLERANCE`.
    """
    session = _import_runtime().InferenceSession(path, providers=["CPUExecutionProvider"])
    differences: list[float] = []
    for batch in _BATCHES:
        pictures = _pictures(batch, config)
        with torch.inference_mode():
            expected = _Portable(network)(pictures).numpy()
        (clouds,) = session.run([CLOUDS], {IMAGES: pictures.numpy()})
        differences.append(np.abs(clouds - expected).max())
    greatest = float(np.max(differences))
    if not greatest <= TOLERANCE:  # also where it is not a number
        raise OutcomeError(
            f"{path}: ONNX Runtime's clouds differ by {greatest:.1e} from the network's, expected "
            f"at most {TOLERANCE:g}; use another version of torch, onnxscript or onnxruntime"
        )
    return greatest


def _pictures(batch: int, config: TrialConfig) -> Tensor:
    size, generator = config.data.image_size, torch.Generator().manual_seed(0)
    return torch.rand(batch, 3, size, size, generator=generator)


def _export(path: Path, network: Network, config: TrialConfig) -> None:
    logging.getLogger("onnxscript").setLevel(logging.ERROR)  # it warns of every norm layer
    program = torch.onnx.export(
        _Portable(network).eval(),
        (_pictures(_BATCHES[-1], config),),
        dynamo=True,
        verbose=False,
        input_names=[IMAGES],
        output_names=[CLOUDS],
        dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
    )
    assert program is not None
    program.model.metadata_props.update(
        {
            IMAGES: f"RGB in [0, 1]; transparent pixels {config.data.background} / 255; the middle "
            f"{config.data.crop:.4f} of a photo that was padded to a square",
            CLOUDS: "unit ball, canonical frame of the training set, y up",
        }
    )
    program.save(str(path), external_data=False)


def _import_runtime() -> Any:
    """Return ONNX Runtime, an optional package, as is what torch writes the format with."""
    try:
        importlib.import_module("onnxscript")
        return importlib.import_module("onnxruntime")
    except ImportError as error:
        raise ConfigError(
            f"ONNX needs {error.name}, which is not installed: pip install 'ss3d[onnx]'"
        ) from error
