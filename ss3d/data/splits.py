"""Which training models are labeled: stratified by category, nested over ratios, by model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ss3d.config import fingerprint
from ss3d.data.keys import keyed_seed
from ss3d.data.randomness import generator


def labeled_split(
    ids_by_category: Mapping[str, Sequence[str]], ratio: float, seed: int
) -> set[str]:
    """Return the ids whose clouds may be used (method.md section 11.1).

    In each category the sorted ids are permuted by the seed and the first
    `max(1, floor(ratio * n))` are labeled, so smaller ratios are subsets of larger ones.

    Args:
        ids_by_category: training ids of each category; their order does not matter.
        ratio: share that is labeled, in (0, 1].
        seed: `data.split_seed`.
    """
    labeled: set[str] = set()
    for category, ids in ids_by_category.items():
        ordered = sorted(ids)
        if not ordered:
            continue
        order = torch.randperm(len(ordered), generator=generator(seed, "split", category))
        count = max(1, int(ratio * len(ordered) + 1e-9))  # 0.29 * 100 is 28.999…
        labeled.update(ordered[i] for i in order[:count].tolist())
    return labeled


def stratified_subset(ids_by_category: Mapping[str, Sequence[str]], count: int) -> set[str]:
    """Return `count` ids, each category in proportion to its size; larger counts are supersets.

    Inside a category the order is keyed by the id alone, so it does not depend on any seed.
    """
    ranked = [
        ((place + 0.5) / len(ids), category, item)
        for category, ids in ids_by_category.items()
        for place, item in enumerate(sorted(ids, key=lambda item: keyed_seed(0, "subset", item)))
    ]
    return {item for _, _, item in sorted(ranked)[:count]}


def split_hash(parts: Mapping[str, Sequence[str]]) -> str:
    """Return the sha256 of a split.

    Args:
        parts: name of each part, e.g. `labeled`, to its ids in any order.
    """
    return fingerprint({name: sorted(ids) for name, ids in parts.items()})


def balanced_order(categories: Sequence[str], balance: float) -> Tensor:
    """Return the positions of a pass over models, those of small categories repeated.

    A model of a category of n is there round((largest / n) ** balance) times.

    Args:
        categories: of each model.
        balance: 0 takes every model once, 1 makes all categories about equally frequent.

    Returns:
        (L,) int64 in `[0, len(categories))`, L at least their number.
    """
    counts = Counter(categories)
    largest = max(counts.values())
    times = [round((largest / counts[category]) ** balance) for category in categories]
    return torch.repeat_interleave(torch.arange(len(times)), torch.tensor(times))
