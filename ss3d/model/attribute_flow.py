"""Geometry and semantic modules: how the image steers every point of every stage."""

from __future__ import annotations

from typing import Literal, assert_never

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ss3d.points.precision import full_precision


class GeometryModule(nn.Module):
    """Shape adjustment code of each point from the fused features, eq. 10 (medium).

    G = MLP([P_0; F_P; mean token]), LeakyReLU(0.01) after both layers; per point as in
    3DAttriFlow, widths ours. The first layer is applied part by part: the shell is shared by the
    batch, the mean token by the points.
    """

    def __init__(self, width: int, style_width: int):
        """Create the MLP.

        Args:
            width: d of points and tokens.
            style_width: d_s of the code.
        """
        super().__init__()
        self.parts = (3, width, width)
        self.first = nn.Linear(sum(self.parts), style_width)
        self.second = nn.Linear(style_width, style_width)

    def forward(self, shell: Tensor, points: Tensor, mean_token: Tensor) -> Tensor:
        """Return the code (B, N, d_s) of shell (N, 3), points (B, N, d), mean token (B, d)."""
        of_shell, of_points, of_image = self.first.weight.split(self.parts, dim=1)
        shared = F.linear(shell, of_shell, self.first.bias)
        broadcast = F.linear(mean_token, of_image).unsqueeze(1)
        hidden = F.leaky_relu(F.linear(points, of_points) + shared + broadcast)
        return F.leaky_relu(self.second(hidden))


class SemanticModule(nn.Module):
    """Attribute encoding z of the image, eq. 11 (medium-high).

    "First compressed into an attribute encoding"; that the fused mean enters too is ours.
    """

    def __init__(self, width: int, code_width: int, source: Literal["both", "image", "fused"]):
        """Create the compression.

        Args:
            width: d of the tokens.
            code_width: d_z.
            source: the mean token before HFA (`image`, the literal reading), after it, or both.
        """
        super().__init__()
        self.source = source
        self.compress = nn.Linear(2 * width if source == "both" else width, code_width)

    def forward(self, image_token: Tensor, fused_token: Tensor) -> Tensor:
        """Return z (B, d_z) from the mean token (B, d) before and after HFA."""
        match self.source:
            case "both":
                return self.compress(torch.cat((fused_token, image_token), dim=-1))
            case "image":
                return self.compress(image_token)
            case "fused":
                return self.compress(fused_token)
            case _:
                assert_never(self.source)


class SemanticBasis(nn.Module):
    """Semantic feature of each point in an orthogonal basis, eq. 11 (medium-high).

    Phi = reshape((lambda * z_l) U + mu, N x C) with z_l = z W + b; then Phi W + b, the term that
    eqs. 14 and 15 add (medium). Importance lambda starts at 3 n_b, …, 6, 3, U with orthonormal
    rows and mu at 0, as 3DAttriFlow.
    """

    def __init__(self, num_basis: int, num_points: int, channels: int, code_width: int):
        """Create the basis.

        Args:
            num_basis: rows n_b of U.
            num_points: N.
            channels: C of the stage.
            code_width: d_z of the attribute encoding.
        """
        super().__init__()
        self.code = nn.Linear(code_width, num_basis)
        self.importance = nn.Parameter(3.0 * torch.arange(num_basis, 0, -1, dtype=torch.float32))
        self.basis = nn.Parameter(torch.empty(num_basis, num_points * channels))
        self.mean = nn.Parameter(torch.zeros(num_points, channels))
        self.mix = nn.Linear(channels, channels)
        nn.init.orthogonal_(self.basis)

    def forward(self, attributes: Tensor) -> Tensor:
        """Return the semantic term (B, N, C) of an attribute encoding (B, d_z)."""
        scores = self.importance * self.code(attributes)
        return self.mix((scores @ self.basis).unflatten(-1, self.mean.shape) + self.mean)


def orthogonality(basis: Tensor) -> Tensor:
    """Return the mean square of the entries of U U^T - I, eq. 19 (medium-high), in fp32.

    Args:
        basis: U (n_b, D).
    """
    with full_precision(basis.device):
        rows = basis.float()
        identity = torch.eye(len(rows), device=rows.device)
        return (rows @ rows.mT - identity).square().mean()


def adaptive_instance_norm(features: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Normalize each channel over the points of an item, then scale and shift, eqs. 12-13 (high).

    Args:
        features: (B or 1, N, C); statistics in fp32.
        scale: gamma (B, N, C), per point.
        shift: beta (B, N, C), per point.

    Returns:
        gamma (h - mean) / sqrt(var + 1e-5) + beta, (B, N, C).
    """
    with full_precision(features.device):
        variance, mean = torch.var_mean(features.float(), dim=1, keepdim=True, correction=0)
        normalized = (features - mean) * (variance + 1e-5).rsqrt()
        return torch.addcmul(shift, scale, normalized)
