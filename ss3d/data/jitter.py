"""What strong augmentation draws: the table of method.md section 9, per sample, on the CPU.

Color operations are linear in the color, so a sample's brightness, saturation, hue, gray and
channel permutation are one 3x3 matrix. Hue turns about the gray axis of YIQ (torchvision shifts it
in HSV, which is not linear and four times the price of everything else).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the brightness of a color."""
REFERENCE_SIDE = 224
"""Blur widths are given in pixels of an image of this side."""
FULL_GATE = 0.2
"""Strength from which blur and cutout have their full probability."""


@dataclass(frozen=True)
class Jitter:
    """The parameters of B samples."""

    color: Tensor
    """(B, 3, 3) brightness, saturation, hue, gray and permutation: new = matrix @ old."""
    contrast: Tensor
    """(B,) factor on the distance to the object's mean gray."""
    background: Tensor
    """(B, 3) color in [0, 1]."""
    affine: Tensor
    """(B, 2, 3) zoom and shift, as `affine_grid` takes them."""
    sigma: Tensor
    """(B,) width of the blur in pixels; 0 is none."""
    box: Tensor
    """(B, 4) top, bottom, left, right of the cutout in pixels; empty is none."""
    fill_mean: Tensor
    """(B,) bool: the cutout shows the image's mean color instead of the background."""


def draw_jitter(
    batch: int, side: int, background: float, strength: float, generator: torch.Generator
) -> Jitter:
    """Draw parameters for a batch.

    Args:
        batch: B.
        side: of the images in pixels.
        background: gray level in [0, 1] that the background is jittered from.
        strength: s in (0, 1].
        generator: on the CPU.
    """

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(batch, *shape, generator=generator)

    def happens(probability: float) -> Tensor:
        return torch.rand(batch, generator=generator) < probability

    jittered = happens(0.8)
    low, high = 1 - 0.5 * strength, 1 + 0.5 * strength
    brightness, contrast, saturation = (
        torch.where(jittered, uniform(low, high), 1.0) for _ in range(3)
    )
    turn = torch.where(jittered, uniform(-0.25 * strength, 0.25 * strength), 0.0)
    saturation = torch.where(happens(0.2 * strength), 0.0, saturation)
    order = torch.rand(batch, 3, generator=generator).argsort(1)
    order = torch.where(happens(0.5 * strength)[:, None], order, torch.arange(3))
    probability = 0.5 * min(1.0, strength / FULL_GATE)
    sigma = uniform(0.1, 0.1 + 1.9 * strength) * side / REFERENCE_SIDE
    return Jitter(
        color=_color_matrix(brightness, saturation, turn, order),
        contrast=contrast,
        background=(background - uniform(0, 60 / 255 * strength, 3)).abs(),
        affine=_affine(
            uniform(1 - 0.1 * strength, 1 + 0.1 * strength),
            uniform(-0.04 * strength, 0.04 * strength, 2),
        ),
        sigma=torch.where(happens(probability), sigma, 0.0),
        box=_box(happens(probability), uniform(0, 0.25 * strength), uniform(0, 1, 3), side),
        fill_mean=happens(0.5),
    )


def blur_radius(side: int, strength: float) -> int:
    """Return the radius in pixels that holds the widest blur of this strength."""
    return math.ceil(3 * (0.1 + 1.9 * strength) * side / REFERENCE_SIDE)


def _color_matrix(brightness: Tensor, saturation: Tensor, turn: Tensor, order: Tensor) -> Tensor:
    """Return the (B, 3, 3) product of all linear color operations.

    Args:
        brightness: (B,) factor.
        saturation: (B,) factor; 0 is gray.
        turn: (B,) hue in turns of the color circle.
        order: (B, 3) source channel of each channel.
    """
    identity = torch.eye(3)
    gray = torch.tensor(LUMA).expand(3, 3)
    saturate = saturation[:, None, None] * identity + (1 - saturation)[:, None, None] * gray
    to_yiq = torch.tensor(
        ((0.299, 0.587, 0.114), (0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135))
    )
    cosine, sine = torch.cos(2 * math.pi * turn), torch.sin(2 * math.pi * turn)
    rotate = identity.repeat(len(turn), 1, 1)
    rotate[:, 1, 1], rotate[:, 1, 2] = cosine, -sine
    rotate[:, 2, 1], rotate[:, 2, 2] = sine, cosine
    hue = torch.linalg.inv(to_yiq) @ rotate @ to_yiq
    return brightness[:, None, None] * (identity[order] @ hue @ saturate)


def _affine(zoom: Tensor, shift: Tensor) -> Tensor:
    """Return (B, 2, 3) maps from output to input coordinates, which run from -1 to 1.

    Args:
        zoom: (B,) factor; above 1 enlarges.
        shift: (B, 2) in sides of the image.
    """
    matrix = torch.zeros(len(zoom), 2, 3)
    matrix[:, 0, 0] = matrix[:, 1, 1] = 1 / zoom
    matrix[:, :, 2] = -2 * shift / zoom[:, None]
    return matrix


def _box(happens: Tensor, area: Tensor, unit: Tensor, side: int) -> Tensor:
    """Return (B, 4) top, bottom, left, right of one rectangle per image, in pixels.

    Args:
        happens: (B,) bool; elsewhere the rectangle is empty.
        area: (B,) share of the image.
        unit: (B, 3) in [0, 1): aspect ratio within 0.3 to 3.3, and place down and across.
        side: of the images in pixels.
    """
    aspect = 0.3 + 3.0 * unit[:, 0]
    height = (side * torch.sqrt(area / aspect)).round().clamp(max=side)
    width = (side * torch.sqrt(area * aspect)).round().clamp(max=side)
    top = (unit[:, 1] * (side - height + 1)).floor()
    left = (unit[:, 2] * (side - width + 1)).floor()
    return torch.stack((top, top + height * happens, left, left + width), dim=1)
