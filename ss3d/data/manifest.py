"""The manifest of a data set: what is in it, and the sha256 of every shard that is trusted."""

from __future__ import annotations

import json
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ss3d.config import canonical_json
from ss3d.errors import DataError

SCHEMA = 1
MANIFEST_KEY = "manifest.json"

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")

Alpha = Literal["background", "mask"]
"""What a transparent pixel means: nothing was rendered there, or a photo's pixel that is real but
not of the object. The first is always put over the background, the second if `data.use_mask`."""


class Stored(BaseModel):
    """Base of the manifest's records: frozen and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ShardEntry(Stored):
    """One Parquet file."""

    key: str
    sha256: str
    rows: int


class Skipped(Stored):
    """A model that was left out with `--skip-bad`."""

    model: str
    reason: str


class Manifest(Stored):
    """What a data set holds; written last, so a data set without one does not exist."""

    name: str
    content_hash: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]  # names the cache folder
    """sha256 over ids, splits, pixels, clouds and cameras; not over the bytes of the shards."""
    categories: dict[str, str]
    """Synset id to name."""
    counts: dict[str, dict[Split, int]]
    """Models per synset id and split."""
    num_views: int
    image_size: int
    """Side of the stored images in pixels."""
    num_points: int
    """Stored points per cloud."""
    alpha: Alpha = "background"
    shards: tuple[ShardEntry, ...]
    skipped: tuple[Skipped, ...] = ()

    @property
    def num_models(self) -> int:
        """Return the number of models."""
        return sum(shard.rows for shard in self.shards)

    def split_counts(self) -> dict[Split, int]:
        """Return the number of models per split."""
        return {split: sum(c.get(split, 0) for c in self.counts.values()) for split in SPLITS}

    def to_json(self) -> bytes:
        """Return the manifest as bytes."""
        return canonical_json({"schema": SCHEMA, **self.model_dump(mode="json")}).encode()

    @classmethod
    def from_json(cls, data: bytes, address: str) -> Self:
        """Read what `to_json` wrote.

        Args:
            data: bytes of the manifest.
            address: of the data set, for errors.

        Raises:
            DataError: the bytes are not a manifest, or of a newer schema.
        """
        try:
            tree = json.loads(data)
            schema = tree.pop("schema")
            if schema > SCHEMA:
                raise DataError(
                    f"data set {address} has schema {schema}, this ss3d reads up to {SCHEMA}; "
                    "update ss3d"
                )
            return cls.model_validate(tree)
        except (ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
            raise DataError(
                f"manifest of the data set {address} is damaged; prepare it again: {error}"
            ) from error
