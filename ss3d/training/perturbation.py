"""Feature perturbation of one branch of the student (method section 9, after UniMatch)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from ss3d.config import SemiConfig


class FeaturePerturbation:
    """Perturb the last rows of a batch where the network offers the features.

    The input of eq. 21's third term (medium-high: "at feature level", UniMatch's channel dropout;
    noise and the other places are ours).

    `dropout` zeroes whole channels at rate m and scales the rest by 1 / (1 - m); `noise` adds
    m * std * N(0, 1). Active in train and eval mode alike.
    """

    def __init__(self, config: SemiConfig, random: torch.Generator, rows: int) -> None:
        self._where = config.fp_where
        self._mode = config.fp_mode
        self._magnitude = config.fp_magnitude
        self._random = random
        self._rows = rows

    def __call__(self, where: str, features: Tensor) -> Tensor:
        """Return the features with the last rows perturbed, if this is the place.

        Args:
            where: `image_map` (B, C, h, w), `tokens` (B, M, C) or `points` (B, N, C).
            features: what the network computed there.
        """
        if where != self._where or self._magnitude == 0:
            return features
        clean, perturbed = features[: -self._rows], features[-self._rows :]
        apply = self._dropout if self._mode == "dropout" else self._noise
        return torch.cat((clean, apply(perturbed)))

    def _dropout(self, features: Tensor) -> Tensor:
        channels = features.shape[1] if features.dim() == 4 else features.shape[-1]
        kept = torch.rand(len(features), channels, generator=self._random) >= self._magnitude
        factor = (kept / (1 - self._magnitude)).to(features)
        return features * (factor[:, :, None, None] if features.dim() == 4 else factor[:, None])

    def _noise(self, features: Tensor) -> Tensor:
        noise = torch.randn(features.shape, generator=self._random).to(features)
        return features + self._magnitude * features.detach().std() * noise
