"""What `pix3d.json` says of each image, and which split each image belongs to."""

from __future__ import annotations

import json
import math
import posixpath
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ss3d.data.files import Files
from ss3d.data.keys import keyed_order
from ss3d.data.manifest import Split
from ss3d.data.shapenet_split import Entry, Listing, list_by_file
from ss3d.errors import DataError

TEST_SHARE, VAL_SHARE = 0.25, 0.1
"""Of all images; of the remaining ones."""
_FILES = ("img", "mask", "model", "voxel")
_FIELDS = (*_FILES, "category", "img_size", "bbox")


@dataclass(frozen=True)
class Photo:
    """One image of Pix3D; names are those of files in the published folder."""

    category: str
    image_id: str
    """The image's name without suffix; unique in its category."""
    image: str
    mask: str
    model: str
    voxel: str
    size: tuple[int, int]
    """Width and height in pixels."""
    box: tuple[float, ...]
    """x0, y0, x1, y1 in pixels."""

    @property
    def key(self) -> str:
        """Return `<category>/<image id>`."""
        return f"{self.category}/{self.image_id}"


def read_index(files: Files) -> dict[str, Photo]:
    """Return the images of Pix3D by key, in order.

    Args:
        files: the published folder or archive; `pix3d.json` may lie in a folder of its own.

    Raises:
        DataError: there is no index, or it is damaged; names the record.
    """
    found = [name for name in files.names if posixpath.basename(name) == "pix3d.json"]
    if not found:
        raise DataError(
            f"{files.root}: there is no pix3d.json; expected the folder or zip archive that is "
            "published, with pix3d.json, img, mask and model"
        )
    name = min(found, key=len)
    where = files.describe(name)
    try:
        records = json.loads(files.read(name))
    except ValueError as error:
        raise DataError(f"{where}: not a readable JSON file: {error}") from error
    if not isinstance(records, list) or not records:
        raise DataError(f"{where}: expected a list of images")
    photos: dict[str, Photo] = {}
    for number, record in enumerate(records):
        photo = _photo(record, posixpath.dirname(name), f"{where}: record {number}")
        if photo.key in photos:
            raise DataError(f"{where}: record {number}: {photo.key} is there twice")
        photos[photo.key] = photo
    return dict(sorted(photos.items()))


def _photo(record: Any, folder: str, where: str) -> Photo:
    """Check one record."""
    fields = record if isinstance(record, dict) else {}
    if missing := [field for field in _FIELDS if field not in fields]:
        raise DataError(f"{where}: expected an object with {', '.join(missing)}")
    try:
        width, height = map(int, record["img_size"])
        x0, y0, x1, y1 = map(float, record["bbox"])
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{where}: expected two numbers as img_size and four as bbox: {error}"
        ) from error
    if not all(map(math.isfinite, (x0, y0, x1, y1))):
        raise DataError(f"{where}: bbox has numbers that are not finite")
    image, mask, model, voxel = (
        posixpath.normpath(posixpath.join(folder, str(record[field]))) for field in _FILES
    )
    stem = posixpath.splitext(posixpath.basename(image))[0]
    category = str(record["category"])
    return Photo(category, stem, image, mask, model, voxel, (width, height), (x0, y0, x1, y1))


def split_photos(photos: Mapping[str, Photo], rule: str, seed: int) -> Listing:
    """Divide the images; val is carved from the training models, 10 % of the images.

    Args:
        photos: by key.
        rule: `s1` takes any 25 % of each category's images for test, `s2` all images of some
            models; anything else is a split file as ShapeNet's importer reads it.
        seed: of both choices.

    Raises:
        DataError: the split file is not there or damaged.
    """
    if rule in ("s1", "s2"):
        split = _split_by_rule(photos, rule, seed)
    else:
        if not Path(rule).is_file():
            raise DataError(f"--split: got {rule!r}, expected s1, s2 or a split file that is there")
        listed = list_by_file(Path(rule)).entries
        split = {entry.key: entry.split for entry in listed}
    if "val" not in split.values():
        train = {key: photo for key, photo in photos.items() if split.get(key) == "train"}
        _assign(split, _carve(train, VAL_SHARE, seed, "val"), "val")
    entries = [Entry(*_parts(key), split[key]) for key in sorted(split)]
    return Listing({entry.category: entry.category for entry in entries}, tuple(entries))


def _parts(key: str) -> tuple[str, str]:
    """Return category and image id."""
    category, image_id = key.split("/", 1)
    return category, image_id


def _split_by_rule(photos: Mapping[str, Photo], rule: str, seed: int) -> dict[str, Split]:
    """Take the test images of S1 or S2; the rest is for training."""
    split: dict[str, Split] = dict.fromkeys(photos, "train")
    if rule == "s2":
        _assign(split, _carve(photos, TEST_SHARE, seed, "test"), "test")
        return split
    for category, members in _by(photos, "category").items():
        order = keyed_order(f"{seed} s1 {category}", len(members))
        test = order[: round(TEST_SHARE * len(members))]
        _assign(split, [members[number] for number in test], "test")
    return split


def _assign(split: dict[str, Split], keys: Sequence[str], part: Split) -> None:
    """Move images to a part."""
    split.update(dict.fromkeys(keys, part))


def _carve(photos: Mapping[str, Photo], share: float, seed: int, purpose: str) -> list[str]:
    """Return all images of some models, in each category at most that share of the images.

    Models come in an order of the seed, each taken if there is room; at least the smallest one
    of a category is, unless it has no other.
    """
    chosen: list[str] = []
    for category, members in _by(photos, "category").items():
        models = _by({key: photos[key] for key in members}, "model")
        names = sorted(models)
        order = keyed_order(f"{seed} {purpose} {category}", len(names))
        room = share * len(members)
        taken: list[str] = []
        for name in (names[number] for number in order):
            if len(models[name]) <= room:
                room -= len(models[name])
                taken.append(name)
        if not taken and len(names) > 1:
            taken = [min(names, key=lambda name: (len(models[name]), name))]
        chosen += [key for name in taken for key in models[name]]
    return chosen


def _by(photos: Mapping[str, Photo], field: str) -> dict[str, Sequence[str]]:
    """Return the keys of the images that agree in a field, in order."""
    groups: dict[str, list[str]] = defaultdict(list)
    for key, photo in sorted(photos.items()):
        groups[getattr(photo, field)].append(key)
    return dict(groups)
