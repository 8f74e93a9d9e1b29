"""Reading what an exported network keeps for pictures: clouds and inputs of validation models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import nan
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from ss3d.errors import CheckpointError
from ss3d.report.clouds import Array


@dataclass(frozen=True)
class Previews:
    """Validation models of one exported network, in its order."""

    ids: list[str]
    categories: list[str]
    names: Mapping[str, str]
    """Category to its name, where it is known."""
    predicted: Array
    """(V, N, 3) object units."""
    target: Array
    """(V, M, 3) object units."""
    images: Mapping[str, Array]
    """(S, S, 3) in [0, 1] by id, of the models whose input is kept."""
    distances: Mapping[str, float]
    """`cd_l1` by id."""
    value: float
    """val/cd_l1, the mean of them."""
    config: Mapping[str, Any]
    """Dotted path to value of the trial's configuration."""


def read_previews(best: Path) -> Previews:
    """Read a directory that `export_best` wrote.

    Raises:
        CheckpointError: the previews are missing or damaged.
    """
    previews = read_preview(best / "previews" / "val.safetensors")
    try:
        metrics = json.loads((best / "metrics.json").read_text())
        config = json.loads((best / "config.json").read_text())
        return replace(
            previews,
            distances={name: float(value) for name, value in metrics["per_model"].items()},
            value=float(metrics["val"]["val/cd_l1"]),
            config={f"{g}.{f}": v for g, fields in config.items() for f, v in fields.items()},
        )
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{best}: previews cannot be read: {error}") from error


def read_preview(path: Path) -> Previews:
    """Read one file of previews, which says nothing of the configuration.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as stored:
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - not a dict
            metadata = stored.metadata()
        ids, categories = (json.loads(metadata[name]) for name in ("ids", "categories"))
        distances = json.loads(metadata.get("distances", "{}"))  # the first exports have none here
        return Previews(
            ids=ids,
            categories=categories,
            names=json.loads(metadata.get("names", "{}")),
            predicted=tensors["predicted"],
            target=tensors["target"],
            images=_images(tensors, ids),
            distances=distances,
            value=fmean(distances.values()) if distances else nan,
            config={},
        )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path}: previews cannot be read: {error}") from error


def _images(tensors: Mapping[str, Any], ids: list[str]) -> dict[str, Array]:
    """Return the kept inputs by id.

    They are (K, S, S, 3) bytes of the rows that `image_row` names; the first exports kept the first
    rows as (K, 3, S, S) in [0, 1].
    """
    images = tensors["image"]
    if images.dtype == np.uint8:
        pixels, rows = images.astype(np.float32) / 255, tensors["image_row"].tolist()
    else:
        pixels, rows = images.transpose(0, 2, 3, 1), range(len(images))
    return {ids[row]: image for row, image in zip(rows, pixels, strict=True)}
