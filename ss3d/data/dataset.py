"""A prepared data set in a store: its manifest, and its models read back from the shards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ss3d.data.items import ModelItem
from ss3d.data.manifest import MANIFEST_KEY, Manifest
from ss3d.data.shards import read_shard
from ss3d.errors import DataError
from ss3d.store.protocol import Store


@dataclass(frozen=True)
class Dataset:
    """What `open_dataset` returns."""

    manifest: Manifest
    store: Store

    def models(self) -> Iterator[ModelItem]:
        """Yield all models in stored order; every shard's sha256 is verified.

        Raises:
            DataError: a shard is damaged; names it.
        """
        for entry in self.manifest.shards:
            yield from read_shard(self.store, entry)


def open_dataset(store: Store) -> Dataset:
    """Open a data set by its manifest.

    Raises:
        DataError: there is none, it is empty, or its manifest is damaged.
    """
    held = store.get(MANIFEST_KEY)
    if held is None:
        raise DataError(
            f"there is no data set in {store.address} (no {MANIFEST_KEY}); make one with "
            "`ss3d data prepare`"
        )
    manifest = Manifest.from_json(held.data, store.address)
    if manifest.num_models == 0:
        raise DataError(f"the data set in {store.address} is empty")
    return Dataset(manifest, store)
