"""An exported network as an MLflow model: safetensors, JSON and a copy of ss3d, never pickle.

The copy is whole though a tenth would do: MLflow puts it before all else on the path of who loads
the model, and of the processes that it starts, where modules that are missing would be missed.
"""

from __future__ import annotations

import importlib.metadata
import io
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import ss3d
from ss3d.config import TrialConfig
from ss3d.errors import CheckpointError
from ss3d.tracking.image_input import IMAGE, MASK
from ss3d.tracking.run_files import read_examples
from ss3d.tracking.served_model import FRAME
from ss3d.trial.files import read_json

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

WEIGHTS = "network"
"""Folder of the exported network inside the model's `data`."""

REQUIREMENTS = ("mlflow", "numpy", "pillow", "pydantic", "safetensors", "scipy", "torch")
"""What the served model imports; pinned to the versions at hand."""

_INPUT = "image: a PNG, JPEG or WebP file, as bytes or base64; mask: the same, white on the object"
_OUTPUT = f"(B, N, 3): {FRAME}"
_FILES = ("student.safetensors", "config.json", "metrics.json")


def package_model(best: Path, target: Path, card: str, metadata: Mapping[str, Any]) -> None:
    """Write an MLflow pyfunc model.

    Args:
        best: directory that `export_best` wrote.
        target: directory to make.
        card: becomes its README.md.
        metadata: what the model is told to remember: study, trial, cd_l1, hashes; may hold
            `model_id` and `run_id` of MLflow.

    Raises:
        CheckpointError: `best` is not complete.
    """
    import pandas as pd

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*Any type hint is inferred")
        import mlflow.pyfunc
    from mlflow.models import Model

    facts = dict(metadata) | {"input": _INPUT, "output": _OUTPUT}
    model = Model(run_id=facts.pop("run_id", None), model_id=facts.pop("model_id", None))
    staging = target.with_name(target.name + ".parts")
    mlflow.pyfunc.save_model(
        path=str(target),
        loader_module="ss3d.tracking.served_model",
        data_path=str(_copy_network(best, staging / WEIGHTS)),
        code_paths=[str(_copy_code(staging / "ss3d"))],
        mlflow_model=model,
        signature=_signature(TrialConfig.parse(read_json(best / "config.json"))),
        input_example=pd.DataFrame({IMAGE: [_example_image(best)]}),
        pip_requirements=pip_requirements(),
        metadata=facts,
    )
    (target / "README.md").write_text(card, encoding="utf-8")
    shutil.rmtree(staging)


def network_directory(model: Path) -> Path:
    """Return the exported network inside an MLflow model that `package_model` wrote.

    Raises:
        CheckpointError: it is not such a model.
    """
    directory = model / "data" / WEIGHTS
    if not (directory / "student.safetensors").is_file():
        raise CheckpointError(f"{model}: not a model that `ss3d promote` registered")
    return directory


def pip_requirements() -> list[str]:
    """Return the pinned requirements of the served model, without local build tags."""
    return [
        f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for name in REQUIREMENTS
    ]


def _signature(config: TrialConfig) -> ModelSignature:
    """Return: encoded images, with or without masks, in; (B, N, 3) float32 clouds out."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec

    return ModelSignature(
        inputs=Schema(
            [
                ColSpec(DataType.binary, IMAGE),
                ColSpec(DataType.binary, MASK, required=False),
            ]
        ),
        outputs=Schema([TensorSpec(np.dtype("float32"), (-1, config.model.num_points, 3))]),
    )


def _example_image(best: Path) -> bytes:
    """Return the first validation image that the export keeps as the bytes of a PNG."""
    from PIL import Image

    examples = read_examples(best)
    if not examples:
        raise CheckpointError(f"{best}: its previews hold no image")
    buffer = io.BytesIO()
    pixels = np.rint(examples[0].image * 255).astype(np.uint8)
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def _copy_network(best: Path, target: Path) -> Path:
    target.mkdir(parents=True)
    for name in _FILES:
        try:
            shutil.copyfile(best / name, target / name)
        except OSError as error:
            raise CheckpointError(f"{best / name}: cannot be read: {error.strerror}") from error
    return target


def _copy_code(target: Path) -> Path:
    source = Path(ss3d.__file__).parent
    return shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
