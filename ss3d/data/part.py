"""The part of a data set that one trial sees: the shards of its categories, and what is unread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from ss3d.config import DataConfig, fingerprint
from ss3d.data.cache import is_cached
from ss3d.data.dataset import Dataset
from ss3d.data.items import ModelItem
from ss3d.data.manifest import Manifest, ShardEntry
from ss3d.data.selection import select_categories
from ss3d.data.views import cached_side
from ss3d.errors import DataError


@dataclass(frozen=True)
class Part(Dataset):
    """A data set without the shards that hold none of the wanted models.

    Its manifest names the shards that are left, and keeps the content hash of the whole.
    """

    categories: frozenset[str]
    cache_dir: Path
    """Where it is decoded: a part that is not cached as a whole has a folder of its own."""
    num_bytes: int
    """To be read before it can be used; 0 if it is cached."""

    def models(self) -> Iterator[ModelItem]:
        """Yield the models of the shards that are left.

        Raises:
            DataError: a shard is damaged, or models of the categories are missing.
        """
        counts: Counter[str] = Counter()
        for item in super().models():
            counts[item.category] += 1
            yield item
        for category in sorted(self.categories):
            expected = sum(self.manifest.counts[category].values())
            if counts[category] != expected:
                raise DataError(
                    f"{self.store.address}: got {counts[category]} models of {category} in its "
                    f"shards, expected {expected}; prepare the data set again"
                )


def needed_part(dataset: Dataset, config: DataConfig, cache_dir: Path) -> Part:
    """Return what a trial needs of a data set: all of it if all is cached or wanted.

    Args:
        dataset: opened.
        config: what the trial sees of it.
        cache_dir: folder of all decoded data sets on this machine.

    Raises:
        DataError: there is no such category.
    """
    manifest, store = dataset.manifest, dataset.store
    wanted = frozenset(select_categories(manifest, config.categories))
    side = cached_side(manifest.image_size, config.image_size, config.crop)
    if is_cached(dataset, cache_dir, side):
        return Part(manifest, store, wanted, cache_dir, 0)
    kept = shards_of(manifest, wanted)
    if len(kept) < len(manifest.shards):
        cache_dir = cache_dir / f"part-{fingerprint([shard.key for shard in kept])[:24]}"
        dataset = Dataset(manifest.model_copy(update={"shards": kept}), store)
    sizes = {} if is_cached(dataset, cache_dir, side) else store.sizes("shards/")
    num_bytes = sum(sizes.get(shard.key, 0) for shard in kept)
    return Part(dataset.manifest, store, wanted, cache_dir, num_bytes)


def shards_of(manifest: Manifest, categories: Collection[str]) -> tuple[ShardEntry, ...]:
    """Return the shards that can hold models of some categories.

    Models lie in the order of their keys, so each category is a range of rows. Whether `/` ends
    a category's name matters to that order if one name begins with another: both are provided for.
    """
    ranges: list[range] = []
    for order in (sorted(manifest.counts), sorted(manifest.counts, key=lambda name: f"{name}/")):
        start = 0
        for category in order:
            stop = start + sum(manifest.counts[category].values())
            if category in categories:
                ranges.append(range(start, stop))
            start = stop
    kept: list[ShardEntry] = []
    row = 0
    for shard in manifest.shards:
        if any(one.start < row + shard.rows and row < one.stop for one in ranges):
            kept.append(shard)
        row += shard.rows
    return tuple(kept)
