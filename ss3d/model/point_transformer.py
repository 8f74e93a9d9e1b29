"""Point Transformer block: vector attention over a neighbor graph (Zhao et al. 2021, eq. 3)."""

from __future__ import annotations

from typing import Literal, NamedTuple, Self, assert_never

import torch
from torch import Tensor, nn

Theta = Literal["layer_norm", "point_transformer"]
"""Position encoding: 3 -> c, LN, ReLU, c -> c (ours), or the original 3 -> 3, BN, ReLU, 3 -> c."""


class Graph(NamedTuple):
    """Neighbors of every point; batch 1 where all samples share them."""

    index: Tensor
    """(1 or B, N, k)."""
    offsets: Tensor
    """(1 or B, N, k, 3): (p_i - p_j) over the mean neighbor distance of the shell."""


class PointTransformerBlock(nn.Module):
    """Residual vector attention c_in -> c (structure of the authors' code; LayerNorm is ours).

    SS3D names the block without an equation: Zhao et al.'s eq. 3 is inferred.

    y = ReLU(LN(x W_1)); q, kappa, v = y W; delta_ij = theta(offset_ij);
    w_ij = softmax_j omega(kappa_j - q_i + delta_ij), one weight for `share` channels;
    o_i = sum_j w_ij (v_j + delta_ij); x' = act(LN(ReLU(LN(o)) W_3) + x W_sc).
    """

    def __init__(
        self, in_width: int, width: int, negative_slope: float, theta: Theta = "layer_norm"
    ):
        """Create the block.

        Args:
            in_width: channels c_in of the points.
            width: c of the result, a multiple of 4.
            negative_slope: of the last activation; 0 is ReLU.
            theta: position encoding.
        """
        super().__init__()
        num_weights = width // min(8, width // 4)
        self.enter = nn.Sequential(
            nn.Linear(in_width, width, bias=False), nn.LayerNorm(width), nn.ReLU()
        )
        self.project = nn.Linear(width, 3 * width, bias=False)
        self.theta = position_encoding(width, theta)
        self.omega = nn.Sequential(
            nn.LayerNorm(width),
            nn.ReLU(inplace=True),
            nn.Linear(width, num_weights, bias=False),
            nn.LayerNorm(num_weights),
            nn.ReLU(inplace=True),
            nn.Linear(num_weights, num_weights, bias=False),
        )
        self.leave = nn.Sequential(
            nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, width, bias=False), nn.LayerNorm(width)
        )
        self.shortcut = (
            nn.Identity() if in_width == width else nn.Linear(in_width, width, bias=False)
        )
        self.activation = nn.LeakyReLU(negative_slope)

    def forward(self, features: Tensor, graph: Graph) -> Tensor:
        """Return features (B, N, c) of points with features (B or 1, N, c_in)."""
        query, key, value = self.project(self.enter(features)).chunk(3, dim=-1)
        delta = self.theta(graph.offsets)
        relation = gather(key, graph.index) + (delta - query.unsqueeze(2))  # (B, N, k, c)
        weights = self.omega(relation).softmax(dim=2)  # (B, N, k, c/s)
        sent = (gather(value, graph.index) + delta).unflatten(-1, (-1, weights.shape[-1]))
        attended = (weights.unsqueeze(3) * sent).sum(dim=2).flatten(2)
        return self.activation(self.leave(attended) + self.shortcut(features))


class OffsetNorm(nn.BatchNorm1d):
    """Batch norm of offsets (…, 3) over all pairs of neighbors; statistics in fp32.

    On the shell's graph these are the same in every batch.
    """

    statistics_frozen = False

    def freeze_statistics(self) -> None:
        """Keep the running statistics from now on, also after `train()`."""
        self.statistics_frozen = True
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Set training mode, unless the statistics are frozen."""
        return super().train(mode and not self.statistics_frozen)

    def forward(self, input: Tensor) -> Tensor:
        """Return normalized offsets of the same shape."""
        return super().forward(input.float().flatten(0, -2)).view(input.shape)


def position_encoding(width: int, theta: Theta) -> nn.Sequential:
    """Return theta, from offsets (…, 3) to encodings (…, c).

    The original's first layer has a bias; its batch norm cancels it, so ours has none.
    """
    match theta:
        case "layer_norm":
            return nn.Sequential(
                nn.Linear(3, width), nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, width)
            )
        case "point_transformer":
            return nn.Sequential(
                nn.Linear(3, 3, bias=False), OffsetNorm(3), nn.ReLU(), nn.Linear(3, width)
            )
        case _:
            assert_never(theta)


def gather(features: Tensor, index: Tensor) -> Tensor:
    """Return the neighbors' features (B, N, k, C).

    Args:
        features: (B or 1, N, C).
        index: (B or 1, N, k).
    """
    if len(index) == 1:
        return features.index_select(1, index.flatten()).unflatten(1, index.shape[1:])
    first = features.shape[1] * torch.arange(len(index), device=index.device).view(-1, 1, 1)
    rows = features.expand(len(index), -1, -1).flatten(0, 1)
    return rows.index_select(0, (index + first).flatten()).unflatten(0, index.shape)
