"""The model card: what a network was trained on, how good it is, where it fails, how to use it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import numpy as np

import ss3d
from ss3d.report.paired_gain import paired_gain
from ss3d.report.previews import read_previews
from ss3d.tracking.candidate import Candidate
from ss3d.tracking.ledger import Answer
from ss3d.tracking.served_model import FRAME
from ss3d.trial.readings import list_readings

Categories = Mapping[str, list[float]]
"""`cd_l1` of validation models by name of category."""

_FEW = 10
"""Validation models of a category below which its value says little."""

_USE = """
```
ss3d predict photo.png --model MODEL -o cloud.ply      # this folder, or models:/NAME@champion
mlflow models serve -m models:/NAME@champion           # then POST to /invocations:
  {"dataframe_records": [{"image": "<base64 of a PNG or JPEG>", "mask": "<base64, optional>"}]}
```

In Python `ss3d.load_model(MODEL)(["photo.png"])`, or `mlflow.pyfunc.load_model(…).predict(table)`
with a column `image` (bytes or paths) and an optional column `mask`; transparent pixels do as well.
"""

_LICENSE = """
Code: Apache-2.0. The weights carry the terms of the data that they were trained on. Method: SS3D,
semi-supervised single-view 3D point cloud reconstruction, doi:10.1177/30504554261447220; cite it
and the data set, and say that this is a reimplementation.
"""


def model_card(candidate: Candidate, answers: tuple[Answer, ...] = (), reason: str = "") -> str:
    """Return the card in Markdown.

    Args:
        candidate: a trained network.
        answers: of the gates, if any were asked.
        reason: why it was promoted, as the user said.

    Raises:
        CheckpointError: the export is damaged.
    """
    num_points = candidate.config.model.num_points
    found = _categories(candidate)
    head = (
        f"# {candidate.origin}\n\nSingle-view 3D reconstruction (SS3D): one image of an object in, "
        f"a cloud of {num_points} points out; {FRAME}."
    )
    parts = {
        "How good it is": _quality(candidate, found),
        "Training": _training(candidate, reason),
        "Limits": _limits(candidate, found),
        "Use": [_USE.strip()],
        "License and citation": [_LICENSE.strip()],
    }
    if answers:
        parts["Gates"] = _gates(answers)
    bodies = (f"## {title}\n\n" + "\n".join(lines) for title, lines in parts.items())
    return "\n\n".join([head, *bodies]) + "\n"


def shorten(card: str, most: int) -> str:
    """Return the parts of a card that fit into so many characters, in their order."""
    note = "\n\nThe rest is in the model's README.md.\n"
    if len(card) <= most:
        return card
    return card[: most - len(note)].rpartition("\n\n## ")[0] + note


def _quality(candidate: Candidate, categories: Categories) -> Iterator[str]:
    """Yield the metric over all validation models, on the test models if read, per category."""
    measured = candidate.measured
    values = measured.distances
    yield (
        f"`val/cd_l1` {_mean(list(values.values()))} on {len(values)} validation models: 100 x L1 "
        "Chamfer distance, unit ball, lower is better. Brackets: 95 % bootstrap interval over the "
        "models; it knows nothing of other seeds."
    )
    readings = list_readings(candidate.readings, measured.data_hash)
    if own := [one for one in readings if one.weights_sha256 == measured.weights_sha256]:
        times = "once" if len(own) == 1 else f"{len(own)} times"
        yield f"\n`test/cd_l1` {own[-1].cd_l1:.3f} on {own[-1].count} test models, read {times}."
    yield "\n| category | validation models | cd_l1 |\n|:--|--:|:--|"
    for name, found in sorted(categories.items()):
        yield f"| {name} | {len(found)} | {_mean(found)} |"


def _training(candidate: Candidate, reason: str) -> Iterator[str]:
    config, measured, spec = candidate.config, candidate.measured, candidate.study_spec or {}
    name = spec.get("data", {}).get("name")
    yield f"- data {f'`{name}`, ' if name else ''}content hash `{measured.data_hash}`"
    yield (
        f"- labeled ratio {config.data.labeled_ratio:g}; seeds: split {config.data.split_seed}, "
        f"pretraining {config.pretrain.seed}, teacher-student {config.semi.seed}"
    )
    yield (
        f"- network `{config.model.preset}`, input {config.data.image_size} x "
        f"{config.data.image_size} pixels; weights of epoch {measured.epoch}, sha256 "
        f"`{measured.weights_sha256}`"
    )
    code = candidate.code_version or "not recorded"
    yield f"- code `{code}`; packed by ss3d {ss3d.__version__}, {datetime.now(UTC):%Y-%m-%d}"
    if reason:
        yield f"- reason: {reason}"


def _limits(candidate: Candidate, categories: Categories) -> Iterator[str]:
    yield (
        f"- It was measured on {', '.join(sorted(categories))}; anything else becomes what is "
        "nearest among the shapes that it has learnt."
    )
    if few := sorted(name for name, values in categories.items() if len(values) < _FEW):
        yield f"- Fewer than {_FEW} validation models, so a value to distrust: {', '.join(few)}."
    yield (
        "- One whole object, near the middle of the image. Training put a plain background (gray "
        f"level {candidate.config.data.background} of 255) behind transparent pixels: cut photos "
        "out or give a mask; predictions warn where an image differs from that."
    )
    yield (
        "- Points without colors, normals or a scale; the cloud is not turned to the camera, and "
        "hidden sides are guessed."
    )


def _gates(answers: tuple[Answer, ...]) -> Iterator[str]:
    yield "| gate | | got | expected |\n|:--|:--|:--|:--|"
    for one in answers:
        state = "open" if one.passed else "closed, forced"
        yield f"| {one.gate} | {state} | {one.got} | {one.expected} |"


def _categories(candidate: Candidate) -> Categories:
    """Return the distances of validation models by name of category."""
    previews = read_previews(candidate.best)
    found: dict[str, list[float]] = defaultdict(list)
    for model, category in zip(previews.ids, previews.categories, strict=True):
        found[previews.names.get(category, category)].append(previews.distances[model])
    return found


def _mean(values: list[float]) -> str:
    """Return the mean with its interval: that of a gain over 0."""
    found = paired_gain(np.array([values]))
    interval = f" [{found.low:.3f}, {found.high:.3f}]" if found.num_models > 1 else ""
    return f"**{found.mean:.3f}**{interval}"
