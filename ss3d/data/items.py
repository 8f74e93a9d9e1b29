"""One object as a data set keeps it: checked, its cloud in stored order, with a digest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ss3d.config import fingerprint
from ss3d.data.clouds import check_cloud, stored_points
from ss3d.data.images import decode_rgba
from ss3d.data.manifest import Skipped, Split
from ss3d.errors import DataError


@dataclass(frozen=True)
class ModelItem:
    """One object: its rendered views, its cloud and where it belongs."""

    model_id: str
    category: str
    """Synset id."""
    split: Split
    images: list[bytes]
    """PNG bytes of the views in order; view 00 is first."""
    cloud: NDArray[np.float32]
    """(n, 3) in the source's frame: y up, any unit."""
    camera: NDArray[np.float32] | None = None
    """(views, 5) azimuth, elevation, in-plane rotation, distance ratio, field of view; degrees."""
    digest: str = ""
    """sha256 of the canonical content; empty until `seal` has checked it."""

    @property
    def key(self) -> str:
        """Return the id that is unique in a data set: `<category>/<model id>`."""
        return f"{self.category}/{self.model_id}"


@dataclass(frozen=True)
class Shape:
    """What all models of a data set have in common."""

    num_views: int
    image_size: int
    num_points: int


def seal(item: ModelItem, shape: Shape) -> ModelItem:
    """Check a model, put its cloud in stored order and compute its digest.

    Raises:
        DataError: a view is missing, damaged or of another size, or the cloud cannot be used.
    """
    if len(item.images) != shape.num_views:
        raise DataError(
            f"{item.key}: got {len(item.images)} views, expected {shape.num_views} as in the others"
        )
    hashes = []
    for number, data in enumerate(item.images):
        name = f"{item.key} view {number:02d}"
        pixels = decode_rgba(data, name)
        if pixels.shape[:2] != (shape.image_size, shape.image_size):
            height, width = pixels.shape[:2]
            raise DataError(
                f"{name}: got {width}x{height} pixels, expected {shape.image_size} on both sides"
            )
        hashes.append(hashlib.sha256(pixels.tobytes()).hexdigest())
    cloud = stored_points(check_cloud(item.cloud, item.key), item.model_id, shape.num_points)
    content = {
        "model_id": item.model_id,
        "category": item.category,
        "split": item.split,
        "images": hashes,
        "cloud": hashlib.sha256(cloud.tobytes()).hexdigest(),
        "camera": None if item.camera is None else item.camera.tolist(),
    }
    return replace(item, cloud=cloud, digest=fingerprint(content))


def seal_or_skip(
    key: str, read: Callable[[], ModelItem], shape: Shape, skip_bad: bool
) -> ModelItem | Skipped:
    """Read and check a model; leave it out, with the reason, if that is wanted.

    Args:
        key: of the model.
        read: reads it; may raise DataError.
        shape: of the data set.
        skip_bad: leave out what cannot be used.

    Raises:
        DataError: the model cannot be used, and is not to be left out.
    """
    try:
        return seal(read(), shape)
    except DataError as error:
        if not skip_bad:
            raise DataError(f"{error}; `--skip-bad` leaves such models out") from error
        return Skipped(model=key, reason=str(error))
