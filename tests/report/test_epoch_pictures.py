"""Predictions over epochs: what stays the same in every picture, and what moves."""

from math import nan
from pathlib import Path

import numpy as np
from PIL import Image

from ss3d.report.epoch_pictures import draw_epochs, epoch_pictures
from ss3d.report.previews import Previews

IDS = ["a/1", "b/2"]


def make_preview(epoch: int) -> Previews:
    rng = np.random.default_rng(0)
    target = rng.normal(size=(2, 40, 3)).astype(np.float32) / 3
    return Previews(
        ids=IDS,
        categories=["a", "b"],
        names={"a": "chair"},
        predicted=target / (2 + epoch),
        target=target,
        images=dict.fromkeys(IDS, np.full((8, 8, 3), 0.2, np.float32)),
        distances=dict.fromkeys(IDS, 3.0),
        value=nan,
        config={},
    )


def test_only_the_prediction_differs_between_epochs(tmp_path: Path) -> None:
    epochs = {epoch: make_preview(epoch) for epoch in (0, 4)}
    first, second = epoch_pictures(epochs).values()
    side = first.shape[0] // 2
    assert first.shape == second.shape == (2 * side, 3 * side, 3)
    assert (first[:, :side] == 51).all()
    inputs, predictions, truths = np.split(first != second, 3, axis=1)
    assert not inputs.any()
    assert not truths.any()
    assert predictions.any()
    assert (first[:, 2 * side :] < 200).any()  # the truth is drawn

    draw_epochs(tmp_path / "a" / "epochs.png", epochs, "demo/t00000")
    with Image.open(tmp_path / "a" / "epochs.png") as picture:
        width, height = picture.size
    assert width > 1.5 * height  # four panels wide, two high
