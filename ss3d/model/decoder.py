"""Point features to offsets from the shell: self-attention, or an MLP per point."""

from __future__ import annotations

from torch import Tensor, nn

from ss3d.model.attention import MultiHeadAttention


class DecoderBlock(nn.Module):
    """X1 = LN(X + MHSA(X)), X2 = LN(X1 + FFN(X1)), eqs. 16-17 (high in structure, FFN ours)."""

    def __init__(self, width: int, num_heads: int):
        """Create the block.

        Args:
            width: C of the last stage.
            num_heads: heads, divides `width`.
        """
        super().__init__()
        self.attention = MultiHeadAttention(width, num_heads)
        self.attention_norm = nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape (B, N, C)."""
        features = self.attention_norm(features + self.attention(features, features))
        return self.norm(features + self.feed_forward(features))


class OffsetHead(nn.Sequential):
    """tanh(Linear 32 -> 3) behind two LeakyReLU layers, per point, as 3DAttriFlow's tail.

    The linear map to coordinates of eq. 17 (high in structure). The last layer starts near 0, so
    that the first prediction is the shell (ours).
    """

    def __init__(self, width: int, negative_slope: float = 0.01):
        """Create the head.

        Args:
            width: C of the features.
            negative_slope: of the LeakyReLUs.
        """
        last = nn.Linear(32, 3)
        nn.init.normal_(last.weight, std=1e-3)
        nn.init.zeros_(last.bias)
        super().__init__(
            nn.Linear(width, 64),
            nn.LeakyReLU(negative_slope),
            nn.Linear(64, 32),
            nn.LeakyReLU(negative_slope),
            last,
            nn.Tanh(),
        )


def self_attention_decoder(width: int, num_blocks: int, num_heads: int) -> nn.Sequential:
    """Return the decoder of the paper: (B, N, C) features to (B, N, 3) offsets."""
    blocks = [DecoderBlock(width, num_heads) for _ in range(num_blocks)]
    return nn.Sequential(*blocks, OffsetHead(width))


def mlp_decoder(width: int) -> nn.Sequential:
    """Return the decoder of the ablation (Table 6): the head alone, as 3DAttriFlow."""
    return nn.Sequential(OffsetHead(width))
