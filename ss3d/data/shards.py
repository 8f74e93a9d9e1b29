"""Models as rows of Parquet shards; writing a whole data set, bytes first and manifest last."""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ss3d.config import fingerprint
from ss3d.data.items import ModelItem, Shape
from ss3d.data.manifest import (
    MANIFEST_KEY,
    SCHEMA,
    SPLITS,
    Alpha,
    Manifest,
    ShardEntry,
    Skipped,
    Split,
)
from ss3d.errors import DataError, RefusedError
from ss3d.store.protocol import Store

SHARD_BYTES = 64 * 2**20
"""A shard is closed when its images reach this size."""


@dataclass(frozen=True)
class Plan:
    """What is known of a data set before its models are read."""

    name: str
    categories: Mapping[str, str]
    shape: Shape
    alpha: Alpha = "background"


def write_dataset(models: Iterable[ModelItem | Skipped], store: Store, plan: Plan) -> Manifest:
    """Write a data set: shards first, the manifest last.

    An interrupted call leaves no manifest, hence nothing that opens. A store that already holds
    this very content is left as it is.

    Args:
        models: sealed models in the order of their keys; a `Skipped` is only counted.
        store: where to.
        plan: name, categories and common shape.

    Raises:
        DataError: there is not one model.
        RefusedError: the store holds another data set.
    """
    held = store.get(MANIFEST_KEY)
    existing = Manifest.from_json(held.data, store.address) if held else None
    tally = _Tally()
    if existing is None:
        shards = tuple(_write_shards(tally.watch(models), store, plan.shape))
    else:
        shards = existing.shards
        for _ in tally.watch(models):
            pass
    manifest = tally.manifest(plan, shards)
    if existing is not None:
        if existing.content_hash != manifest.content_hash:
            raise RefusedError(
                f"{store.address} already holds the data set {existing.name!r} with other "
                f"content ({existing.content_hash[:12]}); choose another folder or delete it"
            )
        return existing
    store.put_new(MANIFEST_KEY, manifest.to_json())
    for key in set(store.list("shards/")) - {shard.key for shard in shards}:
        store.delete(key)  # left by an interrupted call
    return manifest


def read_shard(store: Store, entry: ShardEntry) -> Iterator[ModelItem]:
    """Yield the models of a shard.

    Raises:
        DataError: the shard is missing or its sha256 is not the manifest's.
    """
    import pyarrow.lib as arrow
    import pyarrow.parquet as parquet

    with tempfile.TemporaryDirectory(prefix="ss3d-") as directory:
        path = Path(directory) / "shard.parquet"
        try:
            store.get_file(entry.key, path, entry.sha256)
            table = parquet.read_table(path, memory_map=False)
        except (DataError, arrow.ArrowException, OSError) as error:
            raise DataError(
                f"shard {entry.key} of {store.address} is damaged; prepare the data set again: "
                f"{error}"
            ) from error
    for row in range(table.num_rows):
        yield _item(table.slice(row, 1))


class _Tally:
    """Counts models and collects their digests while they stream by."""

    def __init__(self) -> None:
        self.digests: list[str] = []
        self.counts: Counter[tuple[str, Split]] = Counter()
        self.skipped: list[Skipped] = []

    def watch(self, models: Iterable[ModelItem | Skipped]) -> Iterator[ModelItem]:
        for item in models:
            if isinstance(item, Skipped):
                self.skipped.append(item)
                continue
            assert item.digest, "models must be sealed"
            self.digests.append(item.digest)
            self.counts[item.category, item.split] += 1
            yield item

    def manifest(self, plan: Plan, shards: Sequence[ShardEntry]) -> Manifest:
        if not self.digests:
            reasons = [f", the first: {skipped.reason}" for skipped in self.skipped]
            raise DataError(
                f"data set {plan.name!r}: not one usable model, {len(reasons)} skipped"
                + "".join(reasons[:1])
            )
        meaning = {} if plan.alpha == "background" else {"alpha": plan.alpha}
        present = sorted({category for category, _ in self.counts})
        return Manifest(
            name=plan.name,
            content_hash=fingerprint({"schema": SCHEMA, "models": self.digests, **meaning}),
            categories={synset: plan.categories[synset] for synset in present},
            counts={
                synset: {split: self.counts[synset, split] for split in SPLITS}
                for synset in present
            },
            num_views=plan.shape.num_views,
            image_size=plan.shape.image_size,
            num_points=plan.shape.num_points,
            alpha=plan.alpha,
            shards=tuple(shards),
            skipped=tuple(self.skipped),
        )


def _write_shards(models: Iterable[ModelItem], store: Store, shape: Shape) -> Iterator[ShardEntry]:
    """Write the models in shards that are named by their content; yield their entries."""
    rows: list[ModelItem] = []
    size = 0
    for item in models:
        rows.append(item)
        size += sum(map(len, item.images)) + item.cloud.nbytes
        if size >= SHARD_BYTES:
            yield _put_shard(rows, store, shape)
            rows.clear()
            size = 0
    if rows:
        yield _put_shard(rows, store, shape)


def _put_shard(rows: Sequence[ModelItem], store: Store, shape: Shape) -> ShardEntry:
    """Write one shard."""
    import pyarrow
    import pyarrow.parquet as parquet

    points = np.concatenate([item.cloud.reshape(-1) for item in rows])
    cameras = [None if item.camera is None else item.camera.reshape(-1) for item in rows]
    columns = {
        "category": pyarrow.array([item.category for item in rows], pyarrow.string()),
        "model_id": pyarrow.array([item.model_id for item in rows], pyarrow.string()),
        "split": pyarrow.array([item.split for item in rows], pyarrow.string()),
        "images": pyarrow.array([item.images for item in rows], pyarrow.list_(pyarrow.binary())),
        "cloud": pyarrow.FixedSizeListArray.from_arrays(
            pyarrow.array(points, pyarrow.float32()), 3 * shape.num_points
        ),
        "camera": pyarrow.array(cameras, pyarrow.list_(pyarrow.float32())),
        "digest": pyarrow.array([item.digest for item in rows], pyarrow.string()),
    }
    with tempfile.TemporaryDirectory(prefix="ss3d-") as directory:
        path = Path(directory) / "shard.parquet"
        parquet.write_table(pyarrow.table(columns), path, compression="none", use_dictionary=False)
        name = hashlib.sha256(path.read_bytes()).hexdigest()
        key = f"shards/{name[:32]}.parquet"
        return ShardEntry(key=key, sha256=store.put_file(key, path), rows=len(rows))


def _item(row: Any) -> ModelItem:
    """Return a row of a shard as a model."""
    camera = row["camera"][0].as_py()
    return ModelItem(
        model_id=row["model_id"][0].as_py(),
        category=row["category"][0].as_py(),
        split=row["split"][0].as_py(),
        images=row["images"][0].as_py(),
        cloud=row["cloud"].combine_chunks().flatten().to_numpy().reshape(-1, 3),
        camera=None if camera is None else np.array(camera, np.float32).reshape(-1, 5),
        digest=row["digest"][0].as_py(),
    )
