"""What a trial leaves behind: the best weights with their configuration, values and clouds."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from ss3d.config import TrialConfig
from ss3d.data.border import off_background
from ss3d.data.views import preview_image
from ss3d.model.network import Network
from ss3d.training.evaluate import Evaluation, evaluate
from ss3d.trial import files
from ss3d.trial.state import TrialState, build, load_weights

if TYPE_CHECKING:
    from ss3d.data.loader import TrialData

NUM_IMAGES = 64
"""Validation models whose input image is kept for pictures: all, or so many spread evenly."""
NUM_MODELS = 3
"""Validation models, spread evenly, whose predictions are kept over the epochs."""
NUM_EPOCHS = 6


def find_network(folder: Path) -> Path | None:
    """Return the exported network of a trial's folder, of an MLflow model, or here."""
    places = (folder / "best", folder / "data" / "network", folder)
    return next((place for place in places if (place / "student.safetensors").is_file()), None)


def export_best(state: TrialState, data: TrialData, directory: Path) -> dict[str, Any]:
    """Write the best network of the phase with its configuration, values and clouds.

    `previews/val.safetensors` holds `predicted` (V, N, 3) and `target` (V, M, 3) of all validation
    models and `image` (K, S, S, 3) uint8 of the K <= 64 in the rows `image_row`, with ids,
    categories and distances as metadata: enough for every picture without a GPU or the data set.

    Returns:
        What metrics.json holds.
    """
    best = copy.deepcopy(state.student)
    best.load_state_dict(state.best)
    evaluation = evaluate(best, data.validation, data.view)
    (directory / "previews").mkdir(parents=True, exist_ok=True)
    busiest = _write_previews(evaluation, data, directory / "previews" / "val.safetensors")
    sha = files.write_tensors(directory / "student.safetensors", dict(best.state_dict()))
    files.write_json(directory / "config.json", state.config.model_dump(mode="json"))
    summary = {
        "sha256": sha,
        "phase": state.phase,
        "epoch": state.best_epoch,
        "data_hash": data.data_hash,
        "split_hash": data.split_hash,
        "val": {f"val/{name}": value for name, value in evaluation.metrics().items()},
        "per_category": evaluation.per_category(),
        "per_model": evaluation.per_model(),
        "busiest_border": busiest,
        "per_model_last": evaluate(state.student, data.validation, data.view).per_model(),
    }
    files.write_json(directory / "metrics.json", summary)
    return summary


def preview_epochs(last: int) -> list[int]:
    """Return the epochs of the teacher-student phase whose predictions are kept: six at most."""
    return sorted({round(last * part / (NUM_EPOCHS - 1)) for part in range(NUM_EPOCHS)})


def export_preview(state: TrialState, data: TrialData, path: Path) -> None:
    """Write what the student makes of a few validation models now.

    The file is as the `previews/val.safetensors` of an export.
    """
    few = replace(data, validation=data.validation.spread(NUM_MODELS))
    _write_previews(evaluate(state.student, few.validation, few.view), few, path)


def _write_previews(evaluation: Evaluation, data: TrialData, path: Path) -> float:
    """Write clouds and inputs; return the greatest share of an input's border off the background.

    It tells objects before a plain background from photos: what a prediction's input must be like.
    """
    count = len(evaluation.ids)
    rows = torch.arange(min(count, NUM_IMAGES)) * count // min(count, NUM_IMAGES)
    images: list[Tensor] = []
    targets: list[Tensor] = []
    busiest = 0.0
    start = 0
    for rgba, target in data.validation.evaluation():
        kept = rows[(rows >= start) & (rows < start + len(rgba))] - start
        if len(kept):
            shown = preview_image(rgba[kept], data.view).cpu()
            images.append((shown * 255).round().byte())
            busiest = max(busiest, float(off_background(shown, data.view.background).max()))
        targets.append(target.cpu())
        start += len(rgba)
    tensors = {
        "predicted": evaluation.predicted,
        "target": torch.cat(targets),
        "image": torch.cat(images).permute(0, 2, 3, 1),
        "image_row": rows,
    }
    metadata = {
        "ids": json.dumps(evaluation.ids),
        "categories": json.dumps(evaluation.categories),
        "names": json.dumps(data.category_names),
        "distances": json.dumps(evaluation.per_model()),
    }
    save_file({name: t.contiguous() for name, t in tensors.items()}, path, metadata=metadata)
    return busiest


def load_network(directory: Path, device: torch.device) -> tuple[Network, TrialConfig]:
    """Read what `export_best` wrote; the network is in eval mode.

    Raises:
        CheckpointError: a file is missing, damaged or does not fit.
    """
    config = TrialConfig.parse(files.read_json(directory / "config.json"))
    weights = files.read_weights(directory / "student.safetensors", files.recorded_sha(directory))
    network = build(config, device)
    load_weights(network, weights, directory)
    return network.eval(), config
