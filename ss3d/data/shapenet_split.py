"""Which ShapeNet models belong to which split: by a split file, or by rule."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ss3d.data.manifest import Split
from ss3d.data.tree import Tree
from ss3d.errors import DataError

NAMES = {
    "02691156": "airplane",
    "02828884": "bench",
    "02933112": "cabinet",
    "02958343": "car",
    "03001627": "chair",
    "03211117": "display",
    "03636649": "lamp",
    "03691459": "speaker",
    "04090263": "rifle",
    "04256520": "sofa",
    "04379243": "table",
    "04401088": "phone",
    "04530566": "vessel",
}
"""Names of the synsets of R2N2, where no split file names them."""

_RECORD = "{taxonomy_id, taxonomy_name, train, [unlabel], val, test} with lists of ids"
_FIELDS: dict[str, Split] = {"train": "train", "unlabel": "train", "val": "val", "test": "test"}


@dataclass(frozen=True)
class Entry:
    """A model by its place in the folders."""

    category: str
    model_id: str
    split: Split

    @property
    def key(self) -> str:
        """Return `<category>/<model id>`."""
        return f"{self.category}/{self.model_id}"


@dataclass(frozen=True)
class Listing:
    """Models in the order of their keys, and the names of their categories by synset id."""

    names: dict[str, str]
    entries: tuple[Entry, ...]

    def select(self, categories: Sequence[str]) -> Listing:
        """Keep categories by synset id or name; all if none is given.

        Raises:
            DataError: there is no such category.
        """
        if not categories:
            return self
        by_name = {name: synset for synset, name in self.names.items()}
        kept = {}
        for word in categories:
            synset = word if word in self.names else by_name.get(word)
            if synset is None:
                present = ", ".join(f"{name} ({key})" for key, name in self.names.items())
                raise DataError(f"--categories: got {word!r}, there is {present}")
            kept[synset] = self.names[synset]
        return Listing(kept, tuple(entry for entry in self.entries if entry.category in kept))


def split_by_rule(ids: Sequence[str]) -> dict[str, Split]:
    """Return the split of a category's models: sorted, 70 % train, 10 % val, the rest test."""
    ordered = sorted(ids)
    train, val = int(0.7 * len(ordered) + 1e-9), int(0.8 * len(ordered) + 1e-9)
    parts: tuple[tuple[Split, list[str]], ...] = (
        ("train", ordered[:train]),
        ("val", ordered[train:val]),
        ("test", ordered[val:]),
    )
    return {item: split for split, members in parts for item in members}


def list_by_rule(images: Tree) -> Listing:
    """List all models that have renderings, `<synset>/<model>/rendering/`, split by rule.

    Raises:
        DataError: there is none.
    """
    entries: list[Entry] = []
    names = {}
    for synset in images.names(""):
        ids = [m for m in images.names(synset) if "rendering" in images.names(f"{synset}/{m}")]
        if ids:
            names[synset] = NAMES.get(synset, synset)
            split = split_by_rule(ids)
            entries += [Entry(synset, item, split[item]) for item in ids]
    if not entries:
        raise DataError(
            f"{images.describe('')}: no model found; expected <synset>/<model>/rendering/00.png"
        )
    return Listing(names, tuple(entries))


def list_by_file(path: Path) -> Listing:
    """List what a split file names.

    Args:
        path: JSON list of {taxonomy_id, taxonomy_name, train, [unlabel], val, test}, where
            `unlabel` counts as train.

    Raises:
        DataError: the file is missing, damaged, contradicts itself or names nothing.
    """
    names: dict[str, str] = {}
    found: dict[tuple[str, str], Entry] = {}
    for record in _read_split(path):
        synset = str(record["taxonomy_id"])
        names[synset] = str(record.get("taxonomy_name", NAMES.get(synset, synset)))
        named = [(str(item), split) for f, split in _FIELDS.items() for item in record.get(f, ())]
        for item, split in named:
            entry = found.setdefault((synset, item), Entry(synset, item, split))
            if ".." in entry.key.split("/") or entry.key.startswith("/"):
                raise DataError(
                    f"{path}: got the model {entry.key!r}, expected a name inside the data set"
                )
            if entry.split != split:
                raise DataError(
                    f"{path}: {entry.key} is in {entry.split} and in {split}, expected one of them"
                )
    if not found:
        raise DataError(f"{path}: names no model; expected ids in train, val and test")
    return Listing(names, tuple(found[key] for key in sorted(found)))


def _read_split(path: Path) -> list[dict[str, Any]]:
    """Read a split file and check its form."""
    try:
        records = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such split file") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable JSON file: {error}") from error
    if not isinstance(records, list):
        raise DataError(f"{path}: got {type(records).__name__}, expected a list of {_RECORD}")
    for number, record in enumerate(records):
        if (fault := _fault(record)) is not None:
            raise DataError(f"{path}: record {number}: got {fault}, expected {_RECORD}")
    return records


def _fault(record: object) -> str | None:
    """Return what is wrong with a split file's record of one category."""
    if not isinstance(record, dict):
        return type(record).__name__
    if "taxonomy_id" not in record:
        return "no taxonomy_id"
    if unknown := sorted(set(record) - {"taxonomy_id", "taxonomy_name", *_FIELDS}):
        return f"the field {unknown[0]!r}"
    wrong = [field for field in _FIELDS if not isinstance(record.get(field, []), list)]
    return f"{wrong[0]} that is not a list" if wrong else None
