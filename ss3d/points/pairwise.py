"""Squared distances between all points of two clouds, in centered fp32 products of bounded size."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ss3d.points.precision import full_precision

CHUNK_ELEMENTS = 1 << 25
"""Distances held at once: 128 MiB in fp32."""


def squared_distances(points: Tensor, others: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Yield |p|^2 - 2 p.q + |q|^2 for blocks of `points`, up to rounding of 1e-7 of the extent.

    Args:
        points: (B, N, C), any frame: both clouds are centered on the mean of `others`.
        others: (B, M, C).

    Yields:
        The first row of the block, and its (B, n, M) squared distances in fp32.
    """
    center = others.float().mean(dim=1, keepdim=True)
    points, others = points.float() - center, others.float() - center
    rows = max(1, CHUNK_ELEMENTS // (len(others) * others.shape[1]))
    norms = others.square().sum(dim=-1).unsqueeze(1)  # (B, 1, M)
    for start in range(0, points.shape[1], rows):
        block = points[:, start : start + rows]
        with full_precision(points.device):
            products = torch.baddbmm(norms, block, others.mT, alpha=-2)
        yield start, products + block.square().sum(dim=-1, keepdim=True)
