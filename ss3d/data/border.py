"""How much of a picture's border is not the plain background that a network expects."""

from __future__ import annotations

from torch import Tensor

_RING = 2
"""Pixels that the border is wide."""
_TOLERANCE = 0.1
"""A color channel may be so far from the background."""


def off_background(images: Tensor, background: float) -> Tensor:
    """Return the share of border pixels whose color is not the background's.

    Args:
        images: (B, 3, S, S) in [0, 1], as `preview_image` shows them.
        background: gray level in [0, 1].

    Returns:
        (B,) in [0, 1]: 0 for an object before a plain background, near 1 for a photo.
    """
    is_off = ((images - background).abs() > _TOLERANCE).any(dim=1)  # (B, S, S)
    inner = is_off[:, _RING:-_RING, _RING:-_RING]
    count = is_off[0].numel() - inner[0].numel()
    return (is_off.sum(dim=(1, 2)) - inner.sum(dim=(1, 2))) / count
