"""From cached RGBA pixels to network input: evaluation, weak and strong views (method section 9).

All operations are batched and run on any device. What is random about a sample (offsets, factors,
gates) is drawn on the CPU from the generator given, so it does not depend on the device.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from ss3d.data.photometric import augment

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""Of ImageNet, per channel of an image in [0, 1]."""


@dataclass(frozen=True)
class ViewSpec:
    """How cached pixels become network input."""

    side: int
    """Side of the cached images in pixels."""
    image_size: int
    """Side S of the network's input in pixels."""
    crop: float
    """Share of the side that a crop keeps."""
    background: float
    """Gray level in [0, 1] behind transparent pixels."""
    flip: bool = False
    """Mirror half of the weak views."""

    @property
    def crop_side(self) -> int:
        """Return the side of a crop in cached pixels; equal to `image_size` it needs no resize."""
        return max(1, round(self.side * self.crop))

    def without_flip(self) -> ViewSpec:
        """Return the same view, never mirrored."""
        return replace(self, flip=False)


@dataclass(frozen=True)
class WeakView:
    """A weak view, with what strong views of the same geometry need."""

    rgba: Tensor
    """(B, 4, S, S) in [0, 1]: cropped, resized, mirrored; alpha multiplied in."""
    images: Tensor
    """(B, 3, S, S) over the background, normalized."""
    mirrored: Tensor
    """(B,) bool, on the CPU."""
    background: float
    """Gray level behind `images`."""


def cached_side(native: int, image_size: int, crop: float) -> int:
    """Return the side to cache images at: a crop has `image_size` pixels, or the native ones.

    Args:
        native: side of the stored images.
        image_size: side of the network's input.
        crop: share of the side that a crop keeps.
    """
    return min(native, round(image_size / crop))


def eval_view(rgba: Tensor, view: ViewSpec) -> Tensor:
    """Return the center crop over the plain background.

    Args:
        rgba: (B, side, side, 4) uint8, alpha not multiplied in.
        view: crop, sizes and background.

    Returns:
        (B, 3, S, S) normalized.
    """
    return normalize(preview_image(rgba, view))


def preview_image(rgba: Tensor, view: ViewSpec) -> Tensor:
    """Return what `eval_view` shows as (B, 3, S, S) colors in [0, 1], for pictures."""
    middle = torch.full((len(rgba),), (view.side - view.crop_side) // 2)
    pixels = _crop(rgba, middle, middle, view)
    return composite(pixels, torch.full((len(rgba), 3), view.background))


def weak_view(rgba: Tensor, view: ViewSpec, generator: torch.Generator) -> WeakView:
    """Return a random crop, mirrored half of the time if `view.flip`, over the plain background.

    Args:
        rgba: (B, side, side, 4) uint8, alpha not multiplied in.
        view: crop, sizes, background and flip.
        generator: on the CPU.
    """
    batch = len(rgba)
    slack = view.side - view.crop_side
    top, left = torch.randint(slack + 1, (2, batch), generator=generator)
    pixels = _crop(rgba, top, left, view)
    mirrored = torch.zeros(batch, dtype=torch.bool)
    if view.flip:
        mirrored = torch.rand(batch, generator=generator) < 0.5
        gate = mirrored.to(pixels.device)[:, None, None, None]
        pixels = torch.where(gate, pixels.flip(-1), pixels)
    images = composite(pixels, torch.full((batch, 3), view.background))
    return WeakView(pixels, normalize(images), mirrored, view.background)


def strong_view(weak: WeakView, strength: float, generator: torch.Generator) -> Tensor:
    """Return the weak view's crop with photometric changes; at strength 0 bit for bit the same.

    Args:
        weak: whose geometry is kept.
        strength: in [0, 1]; 1 is UniMatch's.
        generator: on the CPU.

    Returns:
        (B, 3, S, S) normalized.
    """
    if strength == 0:
        return weak.images
    return normalize(augment(weak.rgba, weak.background, strength, generator))


def mirror(clouds: Tensor | None, weak: WeakView) -> Tensor:
    """Return the clouds, x to -x where the view was mirrored.

    Args:
        clouds: (B, M, 3) of labeled items.
        weak: view of the same items.
    """
    assert clouds is not None, "only labeled items can be mirrored"
    flipped = clouds * clouds.new_tensor((-1.0, 1.0, 1.0))
    return torch.where(weak.mirrored.to(clouds.device)[:, None, None], flipped, clouds)


def composite(rgba: Tensor, background: Tensor) -> Tensor:
    """Blend pixels over one color per image.

    Args:
        rgba: (B, 4, S, S) in [0, 1], alpha multiplied in.
        background: (B, 3) in [0, 1].

    Returns:
        (B, 3, S, S) in [0, 1].
    """
    behind = background.to(rgba.device)[:, :, None, None]
    return rgba[:, :3] + (1 - rgba[:, 3:]) * behind


def normalize(images: Tensor) -> Tensor:
    """Return images in [0, 1] with ImageNet's mean and deviation taken out."""
    mean, std = (images.new_tensor(values)[:, None, None] for values in (MEAN, STD))
    return (images - mean) / std


def _crop(rgba: Tensor, top: Tensor, left: Tensor, view: ViewSpec) -> Tensor:
    """Cut one square per image, multiply alpha in and resize it.

    Returns:
        (B, 4, S, S) float32 in [0, 1].
    """
    side = view.crop_side
    steps = torch.arange(side)
    rows = (top[:, None] + steps)[:, :, None].to(rgba.device)  # (B, side, 1)
    columns = (left[:, None] + steps)[:, None, :].to(rgba.device)  # (B, 1, side)
    item = torch.arange(len(rgba), device=rgba.device)[:, None, None]
    words = rgba.contiguous().view(torch.int32).squeeze(-1)  # a pixel is one word: 4x fewer reads
    cut = words[item, rows, columns].unsqueeze(-1).view(torch.uint8)  # (B, side, side, 4)
    pixels = cut.permute(0, 3, 1, 2).float() / 255
    pixels = torch.cat((pixels[:, :3] * pixels[:, 3:], pixels[:, 3:]), dim=1)
    if side == view.image_size:
        return pixels
    size = (view.image_size, view.image_size)
    shrinks = view.image_size < side
    return F.interpolate(pixels, size, mode="bilinear", align_corners=False, antialias=shrinks)
