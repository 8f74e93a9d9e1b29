"""Heterogeneous feature attention: points and image tokens exchange what they know."""

from __future__ import annotations

from torch import Tensor, nn

from ss3d.model.attention import MultiHeadAttention


class HeteroAttention(nn.Module):
    """Layers of heterogeneous feature attention, one after the other."""

    def __init__(self, width: int, num_heads: int, num_layers: int = 1):
        """Create the layers.

        Args:
            width: d of points and tokens.
            num_heads: H, divides `width`.
            num_layers: the paper has one.
        """
        super().__init__()
        self.layers = nn.ModuleList(HeteroLayer(width, num_heads) for _ in range(num_layers))

    def forward(self, points: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return points (B, N, d) and tokens (B, M, d) from points (B or 1, N, d) and tokens."""
        for layer in self.layers:
            points, tokens = layer(points, tokens)
        return points, tokens


class HeteroLayer(nn.Module):
    """One symmetric layer, eqs. 1 to 9: both directions read the features before the update.

    Projections and softmax (1-5), FFN (8-9) are as the paper's text (high, the scaling by
    sqrt(d/H) assumed). The residual update (6-7) is high in structure; that it is a sum and no
    concatenation, and that the norm comes last, is our reading.
    """

    def __init__(self, width: int, num_heads: int):
        """Create both directions.

        Args:
            width: d of points and tokens.
            num_heads: H, divides `width`.
        """
        super().__init__()
        self.to_points = MultiHeadAttention(width, num_heads)
        self.to_tokens = MultiHeadAttention(width, num_heads)
        self.points_update = ResidualUpdate(width)
        self.tokens_update = ResidualUpdate(width)

    def forward(self, points: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return points (B, N, d) and tokens (B, M, d) from points (B or 1, N, d) and tokens."""
        from_tokens = self.to_points(points, tokens)
        from_points = self.to_tokens(tokens, points)
        return self.points_update(points + from_tokens), self.tokens_update(tokens + from_points)


class ResidualUpdate(nn.Module):
    """LN(x + ReLU(x W + b)), eqs. 8 and 9 (high in content; the order is our reading)."""

    def __init__(self, width: int):
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, features: Tensor) -> Tensor:
        """Return updated features of the same shape (…, d)."""
        return self.norm(features + self.linear(features).relu())


class MeanTokenAddition(nn.Module):
    """No eqs. 1-9, Table 4: F_P + Linear(mean token), tokens unchanged (ours, as AttriFlow)."""

    def __init__(self, width: int):
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, points: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return points (B, N, d) and the tokens from points (B or 1, N, d) and tokens."""
        return points + self.linear(tokens.mean(dim=1, keepdim=True)), tokens
