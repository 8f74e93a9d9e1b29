"""Point encoder: features of the shell's points, the same for every sample."""

from __future__ import annotations

from torch import Tensor, nn

from ss3d.model.point_transformer import Graph, PointTransformerBlock, Theta


class PointEncoder(nn.Module):
    """Linear 3 -> d/4, two Point Transformer blocks d/4 -> d/4 -> d/2, Linear d/2 -> d.

    The paper says "PointTransform-based"; depth and widths (64, 64, 128 of d = 256) are ours,
    without down-sampling.
    """

    def __init__(self, width: int, theta: Theta = "layer_norm"):
        """Create the encoder.

        Args:
            width: d of the point features, a multiple of 16.
            theta: position encoding of the blocks.
        """
        super().__init__()
        self.enter = nn.Linear(3, width // 4)
        self.first = PointTransformerBlock(width // 4, width // 4, 0.0, theta)
        self.second = PointTransformerBlock(width // 4, width // 2, 0.0, theta)
        self.leave = nn.Linear(width // 2, width)

    def forward(self, shell: Tensor, graph: Graph) -> Tensor:
        """Return F_P (1, N, d) of the shell (1, N, 3)."""
        features = self.first(self.enter(shell), graph)
        return self.leave(self.second(features, graph))
