"""Stateless randomness: generators and endless permutations that are functions of a key.

No generator has a history: what step s of a branch draws is decided by (seed, key, s) alone, so a
resumed trial sees what an unbroken one saw (architecture section 7).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ss3d.data.keys import keyed_seed


def generator(seed: int, *key: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a fresh generator that depends on nothing but the seed and the key.

    Args:
        seed: the phase's seed.
        key: what it is for, e.g. `("semi", "strong", step)`; 1 and "1" are different keys.
        device: where it will draw; other device types give other bits.
    """
    return torch.Generator(device=device).manual_seed(keyed_seed(seed, *key))


def permutation_index(seed: int, step: int, batch: int, count: int, *key: int | str) -> Tensor:
    """Return the positions that a step takes from an endless sequence of permutations.

    The sequence is permutation 0 of `range(count)`, then permutation 1, and so on, each keyed by
    its number; step s takes places `s * batch` to `(s + 1) * batch`. So each item comes once per
    pass, whatever the batch size, and batches may be larger than the list.

    Args:
        seed: the phase's seed.
        step: number of the step, from 0.
        batch: positions per step.
        count: length of the list, at least 1.
        key: what the sequence is for.

    Returns:
        (batch,) int64 in `[0, count)`.
    """
    first, last = step * batch, (step + 1) * batch
    passes = [
        torch.randperm(count, generator=generator(seed, *key, "pass", number))
        for number in range(first // count, (last - 1) // count + 1)
    ]
    start = first % count
    return torch.cat(passes)[start : start + batch]
