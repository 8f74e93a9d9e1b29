"""Multi-head scaled dot-product attention from one set of features to another."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BLOCK_ELEMENTS = 1 << 20
"""Attention weights held at once on the CPU: 4 MiB in fp32."""


class MultiHeadAttention(nn.Module):
    """Eqs. 1 to 5 for one direction (high): project, compare, weigh, concatenate, project.

    The keys have no bias: the softmax cancels it, so its gradient would be rounding noise.
    """

    def __init__(self, width: int, num_heads: int):
        """Create the four projections.

        Args:
            width: d of both sets and of the result.
            num_heads: H, divides `width`.
        """
        super().__init__()
        assert width % num_heads == 0, (width, num_heads)
        self.num_heads = num_heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    def forward(self, receiver: Tensor, sender: Tensor) -> Tensor:
        """Return what `receiver` gets from `sender`.

        A set that all samples share has batch 1: it is projected once and expanded.

        Args:
            receiver: (B or 1, N, d).
            sender: (B or 1, M, d).

        Returns:
            (B, N, d).
        """
        heads = attend(
            self._heads(self.query(receiver)),
            self._heads(self.key(sender)),
            self._heads(self.value(sender)),
        )
        return self.output(heads.transpose(1, 2).flatten(2))

    def _heads(self, features: Tensor) -> Tensor:
        return features.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return softmax(Q K^T / sqrt(c)) V of every head, eqs. 3-5 (high; sqrt(c) is assumed).

    A batch of 1 is expanded.

    Args:
        query: (B or 1, H, N, c).
        key: (B or 1, H, M, c).
        value: (B or 1, H, M, c).

    Returns:
        (B, H, N, c).
    """
    if torch.compiler.is_exporting():  # any batch, in plain operations
        return (query * query.shape[-1] ** -0.5 @ key.mT).softmax(dim=-1) @ value
    shape = (max(len(query), len(key)), -1, -1, -1)
    if query.device.type == "cpu" and query.dtype in (torch.float32, torch.float64):
        parts = (query * query.shape[-1] ** -0.5, key, value)
        return _BlockAttention.apply(*(x.mT.contiguous().expand(shape) for x in parts)).mT
    return F.scaled_dot_product_attention(
        query.expand(shape), key.expand(shape), value.expand(shape)
    )


class _BlockAttention(torch.autograd.Function):
    """Softmax attention for the CPU, head by head, weights computed again in the backward pass.

    Queries (B, H, c, N), keys and values (B, H, c, M): heads are few channels wide, and thin
    products are several times as fast with the long side last as in the fused kernel's backward.
    """

    @staticmethod
    def forward(  # pyrefly: ignore[bad-override] - torch declares (*args, **kwargs)
        ctx: Any, query: Tensor, key: Tensor, value: Tensor
    ) -> Tensor:
        result = torch.empty(query.shape, dtype=query.dtype)
        for head, rows in _blocks(query, key):
            weights = _weights(query[head][:, rows], key[head])
            result[head][:, rows] = value[head] @ weights.mT
        ctx.save_for_backward(query, key, value)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        (gradient,) = gradients
        query, key, value = ctx.saved_tensors
        of_query = torch.empty(query.shape, dtype=query.dtype)
        of_key, of_value = (torch.zeros(x.shape, dtype=x.dtype) for x in (key, value))
        for head, rows in _blocks(query, key):
            weights = _weights(query[head][:, rows], key[head])
            outer = gradient[head][:, rows].contiguous()
            of_value[head] += outer @ weights
            of_scores = torch._softmax_backward_data(
                outer.mT @ value[head], weights, -1, weights.dtype
            )
            of_query[head][:, rows] = key[head] @ of_scores.mT
            of_key[head] += query[head][:, rows] @ of_scores
        return of_query, of_key, of_value


def _weights(query: Tensor, key: Tensor) -> Tensor:
    """Return softmax weights (n, M) of scaled queries (c, n) and keys (c, M)."""
    return (query.mT @ key).softmax(dim=-1)


def _blocks(query: Tensor, key: Tensor) -> Iterator[tuple[tuple[int, int], slice]]:
    """Yield every (sample, head) with slices of its queries, a bounded number of weights each."""
    rows = max(1, BLOCK_ELEMENTS // key.shape[3])
    starts = range(0, query.shape[3], rows)
    for sample, head, start in product(range(query.shape[0]), range(query.shape[1]), starts):
        yield (sample, head), slice(start, start + rows)
