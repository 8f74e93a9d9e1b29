"""Pictures of a trial's predictions over its epochs, as MLflow's image grid shows them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from ss3d.report.epoch_pictures import draw_epochs, epoch_pictures
from ss3d.report.previews import read_preview
from ss3d.store import layout
from ss3d.store.protocol import Store
from ss3d.trial.records import TrialRecord

IMAGES_TAG = {"mlflow.loggedImages": "True"}
"""Makes MLflow's pages look for images that belong to epochs."""
_KEY = "predictions"
_SMALL = 256
"""Longest side in pixels of the copy that the grid shows."""


def list_previews(store: Store, record: TrialRecord) -> list[str]:
    """Return the keys of what a trial kept of its predictions, by epoch."""
    return sorted(store.list(layout.trial(record.spec.study, record.spec.trial, "previews") + "/"))


def gather_images(
    store: Store, record: TrialRecord, previews: Sequence[str], directory: Path
) -> None:
    """Write a picture per epoch, and one of all epochs.

    Names are as `MlflowClient.log_image` gives them, but the same each time, so that writing
    again replaces and does not double.

    Args:
        store: where the previews are.
        record: of the trial.
        previews: as `list_previews` returns them, at least one.
        directory: to write to.

    Raises:
        CheckpointError: a preview is damaged.
    """
    from PIL import Image

    epochs = {}
    with tempfile.TemporaryDirectory(prefix="ss3d-previews-") as folder:
        for key in previews:
            path = Path(folder) / key.rpartition("/")[2]
            store.get_file(key, path)
            epochs[int(path.stem)] = read_preview(path)
    title = f"{record.spec.study}/{record.spec.trial} · validation"
    draw_epochs(directory / "pictures" / "epochs.png", epochs, title)
    (directory / "images").mkdir()
    for epoch, pixels in epoch_pictures(epochs).items():
        milliseconds = int(1000 * record.spec.proposed_at) + epoch
        name = f"{_KEY}+step+{epoch}+timestamp+{milliseconds}+{record.spec.trial}"
        picture = Image.fromarray(pixels)
        picture.save(directory / "images" / f"{name}.png")
        picture.thumbnail((_SMALL, _SMALL))
        picture.save(directory / "images" / f"{name}+compressed.webp")
