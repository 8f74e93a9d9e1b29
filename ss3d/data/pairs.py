"""Importer of images and clouds that a CSV file lists: one item per line."""

from __future__ import annotations

import csv
import posixpath
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ss3d.data.cache import Progress
from ss3d.data.clouds import MAX_POINTS
from ss3d.data.files import MAX_BYTES
from ss3d.data.images import decode_rgba, encode_png
from ss3d.data.items import ModelItem, Shape, seal_or_skip
from ss3d.data.manifest import SPLITS, Manifest, Skipped, Split
from ss3d.data.parallel import counted, ordered_map
from ss3d.data.photo import fit_square
from ss3d.data.point_file import read_points
from ss3d.data.shapenet_split import NAMES, Entry, split_by_rule
from ss3d.data.shards import Plan, write_dataset
from ss3d.errors import DataError
from ss3d.store.protocol import Store

COLUMNS = ("image", "cloud", "category", "split", "model")
"""The first two are required."""
DEFAULT_CATEGORY = "object"


@dataclass(frozen=True)
class PairsSource:
    """The list and what is taken of it."""

    table: Path
    """CSV with a header; paths are relative to it."""
    name: str = "pairs"
    size: int = 224
    """Side of the stored images in pixels."""
    skip_bad: bool = False
    """Leave out lines that cannot be used, and count them."""


@dataclass(frozen=True)
class Pair:
    """One line: an image and its cloud."""

    category: str
    item_id: str
    image: Path
    cloud: Path
    model: str
    """Lines of one model go to one split."""
    split: str
    """Empty if the file does not say."""
    line: int

    @property
    def key(self) -> str:
        """Return `<category>/<item id>`."""
        return f"{self.category}/{self.item_id}"


def prepare_pairs(source: PairsSource, store: Store, progress: Progress | None = None) -> Manifest:
    """Import the images and clouds of a list into a store.

    Images are made square by padding, with transparent pixels, and keep their own alpha. Without
    a split column the models of each category are divided 70/10/20 in the order of their names.

    Args:
        source: the list and what is taken.
        store: where the data set goes.
        progress: called with items done and in all.

    Raises:
        DataError: the list, an image or a cloud cannot be used (image, cloud: unless skipped).
        RefusedError: the store holds another data set.
    """
    pairs = _read_table(source.table)
    entries = _split(pairs, source.table)
    shape = Shape(1, source.size, min([MAX_POINTS, *ordered_map(_count, pairs)]))
    names = {pair.category: NAMES.get(pair.category, pair.category) for pair in pairs}

    def sealed(pair: Pair) -> ModelItem | Skipped:
        def read() -> ModelItem:
            return _read(pair, entries[pair.key], shape)

        return seal_or_skip(pair.key, read, shape, source.skip_bad)

    items = counted(ordered_map(sealed, pairs), len(pairs), progress)
    return write_dataset(items, store, Plan(source.name, names, shape))


def _read_table(path: Path) -> list[Pair]:
    """Return the lines of the list in the order of their keys."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            columns = reader.fieldnames or ()
            unknown = [name for name in columns if name not in COLUMNS]
            if unknown or not {"image", "cloud"} <= set(columns):
                raise DataError(
                    f"{path}: got the columns {', '.join(columns)}; expected image, cloud and "
                    "perhaps category, split, model"
                )
            pairs = [_pair(row, path, reader.line_num) for row in reader]
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a readable CSV file: {error}") from error
    by_key: dict[str, Pair] = {}
    for pair in pairs:
        if (other := by_key.setdefault(pair.key, pair)) is not pair:
            raise DataError(f"{path}: lines {other.line} and {pair.line} are both {pair.key}")
    if not pairs:
        raise DataError(f"{path}: lists nothing")
    return [by_key[key] for key in sorted(by_key)]


def _pair(row: Mapping[str | None, str | None], table: Path, line: int) -> Pair:
    """Check one line."""
    values = {name: (row.get(name) or "").strip() for name in COLUMNS}
    if None in row or not values["image"] or not values["cloud"]:
        raise DataError(f"{table}: line {line}: expected an image and a cloud, as in the header")
    if (split := values["split"]) and split not in SPLITS:
        raise DataError(f"{table}: line {line}: got the split {split!r}, expected train, val, test")
    stem = posixpath.splitext(posixpath.normpath(values["image"].replace("\\", "/")))[0]
    item_id = "-".join(part for part in stem.split("/") if part not in ("", ".", ".."))
    category = (values["category"] or DEFAULT_CATEGORY).replace("/", "-")
    image, cloud = (table.parent / values[name] for name in ("image", "cloud"))
    return Pair(category, item_id, image, cloud, values["model"] or item_id, split, line)


def _split(pairs: list[Pair], table: Path) -> dict[str, Entry]:
    """Return the split of every item: as the list says, or by rule."""
    told = [pair for pair in pairs if pair.split]
    if told and len(told) < len(pairs):
        line = next(pair.line for pair in pairs if not pair.split)
        raise DataError(f"{table}: line {line} has no split, others have one")
    models: dict[str, set[str]] = defaultdict(set)
    for pair in pairs:
        models[pair.category].add(pair.model)
    ruled = {category: split_by_rule(sorted(names)) for category, names in models.items()}
    chosen: dict[tuple[str, str], Split] = {}
    for pair in pairs:
        split = next((name for name in SPLITS if name == pair.split), None)
        wanted = split or ruled[pair.category][pair.model]
        if chosen.setdefault((pair.category, pair.model), wanted) != wanted:
            raise DataError(f"{table}: line {pair.line}: model {pair.model} is in two splits")
    return {
        pair.key: Entry(pair.category, pair.item_id, chosen[pair.category, pair.model])
        for pair in pairs
    }


def _count(pair: Pair) -> int:
    """Return the points of a cloud; `MAX_POINTS` if it cannot be used."""
    try:
        return len(read_points(pair.cloud))
    except DataError:
        return MAX_POINTS


def _read(pair: Pair, entry: Entry, shape: Shape) -> ModelItem:
    """Read the files of a line."""
    cloud = read_points(pair.cloud)
    try:
        if pair.image.stat().st_size > MAX_BYTES:
            raise DataError(f"{pair.image}: a larger file than {MAX_BYTES} bytes")
        data = pair.image.read_bytes()
    except OSError as error:
        raise DataError(f"{pair.image}: {error.strerror or error}") from error
    pixels = decode_rgba(data, str(pair.image), upright=True)
    try:
        picture = fit_square(pixels, shape.image_size)
    except DataError as error:
        raise DataError(f"{pair.image}: {error}") from error
    return ModelItem(entry.model_id, entry.category, entry.split, [encode_png(picture)], cloud)
