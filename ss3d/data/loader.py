"""What a trial trains on: labelled, unlabelled, validation and test items over the node cache."""

from __future__ import annotations

import copy
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ss3d.config import DataConfig
from ss3d.data.cache import CachedModel, NodeCache, Progress, open_cache
from ss3d.data.dataset import Dataset
from ss3d.data.selection import is_opaque, select_categories
from ss3d.data.splits import balanced_order, labeled_split, split_hash, stratified_subset
from ss3d.data.views import ViewSpec, cached_side
from ss3d.errors import DataError

EVALUATION_VIEW = 0
"""The view that evaluation sees (method.md section 11.1)."""


class Items:
    """A list of models, of which training and evaluation take batches.

    Args:
        cache: mapped arrays; clouds are only kept if `with_clouds`.
        models: the items, in order.
        num_points: M, points of a target cloud.
        device: of the batches.
        with_clouds: False for unlabelled items, which then hold no reference to any cloud.
        opaque: show pixels as they are, whatever their alpha.
    """

    def __init__(
        self,
        cache: NodeCache,
        models: Sequence[CachedModel],
        num_points: int,
        device: torch.device,
        *,
        with_clouds: bool = True,
        opaque: bool = False,
    ) -> None:
        self.ids = [model.key for model in models]
        self.categories = [model.category for model in models]
        self._rows = torch.tensor([model.row for model in models], dtype=torch.long)
        self._images = cache.images
        self.num_views = cache.num_views
        self._num_points = num_points
        self._device = device
        self._opaque = opaque
        self._clouds = cache.clouds if with_clouds else None

    def __len__(self) -> int:
        return len(self.ids)

    def spread(self, count: int) -> Items:
        """Return at most so many of the items, spread evenly: number n * len // count."""
        count = min(count, len(self))
        positions = [n * len(self) // count for n in range(count)]
        few = copy.copy(self)
        few.ids = [self.ids[position] for position in positions]
        few.categories = [self.categories[position] for position in positions]
        few._rows = self._rows[positions]
        return few

    def batch(self, positions: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Return a random view and a random subset of the cloud of each item.

        Args:
            positions: (B,) int64 in `[0, len(self))`.
            generator: on the CPU.

        Returns:
            (B, side, side, 4) uint8 and (B, M, 3) float32 object units, or None if unlabelled.
        """
        rows = self._rows[positions]
        views = torch.randint(self.num_views, (len(rows),), generator=generator)
        images = self._read_images(rows, views)
        if self._clouds is None:
            return images, None
        stored = self._clouds.shape[1]
        clouds = torch.from_numpy(self._clouds[rows.numpy()])
        if stored > self._num_points:
            scores = torch.rand(len(rows), stored, generator=generator)
            chosen = scores.topk(self._num_points, dim=1, sorted=False).indices
            clouds = clouds.gather(1, chosen[:, :, None].expand(-1, -1, 3))
        return images, clouds.to(self._device)

    def evaluation(self, batch_size: int = 32) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield view 00 and the fixed target cloud of all items, in order.

        Clouds are stored in an order keyed by the model id, so the first M points are the fixed
        subset.

        Returns:
            (B, side, side, 4) uint8 and (B, M, 3) float32 object units.
        """
        assert self._clouds is not None, "unlabelled items cannot be evaluated"
        for rows in self._rows.split(batch_size):
            images = self._read_images(rows, torch.full_like(rows, EVALUATION_VIEW))
            clouds = torch.from_numpy(self._clouds[rows.numpy(), : self._num_points])
            yield images, clouds.to(self._device)

    def view(self, number: int, batch_size: int = 32) -> Iterator[Tensor]:
        """Yield one view of all items, in the order and batches of `evaluation`.

        Args:
            number: of the view, in `[0, num_views)`.
            batch_size: items at once.

        Returns:
            (B, side, side, 4) uint8.
        """
        for rows in self._rows.split(batch_size):
            yield self._read_images(rows, torch.full_like(rows, number))

    def stored_clouds(self, batch_size: int = 32) -> Iterator[Tensor]:
        """Yield all stored points of all items, in an order that is random but fixed.

        Returns:
            (B, P, 3) float32 object units.
        """
        assert self._clouds is not None, "unlabelled items have no clouds"
        for rows in self._rows.split(batch_size):
            yield torch.from_numpy(self._clouds[rows.numpy()]).to(self._device)

    def _read_images(self, rows: Tensor, views: Tensor) -> Tensor:
        index = (rows * self.num_views + views).numpy()
        images = torch.from_numpy(self._images[index])
        if self._opaque:
            images[..., 3] = 255
        return images.to(self._device)


@dataclass(frozen=True)
class TrialData:
    """The items of one trial. The test items are read once, after the choice."""

    labeled: Items
    labeled_order: Tensor
    """(L,) int64 positions in `labeled`, each as often as it is drawn in L draws."""
    unlabeled: Items
    validation: Items
    view: ViewSpec
    category_names: dict[str, str]
    """Synset id to name, of the selected categories."""
    data_hash: str
    split_hash: str
    _test: Items

    def test(self) -> Items:
        """Return the test items.

        Raises:
            DataError: there are none.
        """
        if len(self._test) == 0:
            raise DataError("the selected categories have no test models")
        return self._test


def load_data(
    dataset: Dataset,
    config: DataConfig,
    cache_dir: Path,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
    limit_bytes: float = math.inf,
) -> TrialData:
    """Select, split and map a data set for one trial.

    Args:
        dataset: opened data set.
        config: what the trial sees of it.
        cache_dir: folder of all decoded data sets on this machine.
        device: of the batches.
        progress: called while the cache is built, with models done and in all.
        limit_bytes: of the folder.

    Raises:
        DataError: nothing is selected, clouds are too small, or a shard is damaged.
    """
    manifest = dataset.manifest
    names = select_categories(manifest, config.categories)
    if config.num_target_points > manifest.num_points:
        raise DataError(
            f"data.num_target_points: got {config.num_target_points}, but the clouds of "
            f"{manifest.name!r} have {manifest.num_points} points"
        )
    opaque = is_opaque(manifest, config.use_mask)
    side = cached_side(manifest.image_size, config.image_size, config.crop)
    cache = open_cache(dataset, cache_dir, side, progress, limit_bytes)
    parts = _split(cache, names, config)
    target = torch.device(device)

    def items(part: str, with_clouds: bool = True) -> Items:
        chosen = parts[part]
        return Items(
            cache,
            chosen,
            config.num_target_points,
            target,
            with_clouds=with_clouds,
            opaque=opaque,
        )

    return TrialData(
        labeled=items("labeled"),
        labeled_order=balanced_order(
            [model.category for model in parts["labeled"]], config.category_balance
        ),
        unlabeled=items("unlabeled", with_clouds=False),
        validation=items("val"),
        view=ViewSpec(side, config.image_size, config.crop, config.background / 255, config.flip),
        category_names=names,
        data_hash=manifest.content_hash,
        split_hash=split_hash({part: [m.key for m in models] for part, models in parts.items()}),
        _test=items("test"),
    )


def _split(
    cache: NodeCache, names: dict[str, str], config: DataConfig
) -> dict[str, list[CachedModel]]:
    """Return the models of each part: labeled, unlabeled, val and test."""
    models = [model for model in cache.index if model.category in names]
    by_category: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for model in models:
        by_category[model.split][model.category].append(model.key)
    for part in ("train", "val"):
        if not by_category[part]:
            raise DataError(f"{', '.join(names.values())}: there are no {part} models")
    labeled = labeled_split(by_category["train"], config.labeled_ratio, config.split_seed)
    train = [model for model in models if model.split == "train"]
    validation = [model for model in models if model.split == "val"]
    if config.num_val_models is not None:
        kept = stratified_subset(by_category["val"], config.num_val_models)
        validation = [model for model in validation if model.key in kept]
    parts = {
        "labeled": [model for model in train if model.key in labeled],
        "unlabeled": [model for model in train if model.key not in labeled],
        "val": validation,
        "test": [model for model in models if model.split == "test"],
    }
    # With every model labelled, the labelled images are the unlabelled ones (method.md section 9).
    parts["unlabeled"] = parts["unlabeled"] or parts["labeled"]
    return parts
