"""Strong augmentation of a batch, as drawn by `jitter`.

Colors are changed with alpha multiplied in, so only the object changes; then it is put over a
jittered background, blurred, made noisy and cut out.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ss3d.data.jitter import LUMA, Jitter, blur_radius, draw_jitter


def augment(rgba: Tensor, background: float, strength: float, generator: torch.Generator) -> Tensor:
    """Return augmented images, every sample with parameters of its own.

    Args:
        rgba: (B, 4, S, S) in [0, 1], alpha multiplied in.
        background: gray level in [0, 1] that the background is jittered from.
        strength: s in (0, 1].
        generator: on the CPU; noise is drawn on the images' device from a seed it gives.

    Returns:
        (B, 3, S, S) in [0, 1].
    """
    side = rgba.shape[-1]
    jitter = draw_jitter(len(rgba), side, background, strength, generator)
    noise_seed = int(torch.randint(2**62, (), generator=generator))
    pixels = recolor(zoom(rgba, jitter.affine), jitter)
    behind = jitter.background.to(rgba.device)[:, :, None, None]
    images = pixels[:, :3] + (1 - pixels[:, 3:]) * behind
    images = blur(images, jitter.sigma, blur_radius(side, strength))
    random = torch.Generator(rgba.device).manual_seed(noise_seed)
    noise = torch.randn(images.shape, generator=random, device=images.device)
    images = images.add_(noise, alpha=0.1 * strength).clamp_(0, 1)
    return cut_out(images, jitter)


def zoom(rgba: Tensor, affine: Tensor) -> Tensor:
    """Zoom and shift images; what comes from outside is transparent.

    Args:
        rgba: (B, 4, S, S), alpha multiplied in.
        affine: (B, 2, 3).
    """
    grid = F.affine_grid(affine.to(rgba.device), list(rgba.shape), align_corners=False)
    return F.grid_sample(rgba, grid, mode="bilinear", align_corners=False)


def recolor(rgba: Tensor, jitter: Jitter) -> Tensor:
    """Change the colors of the object; transparent pixels stay transparent.

    Contrast is about the object's mean gray, all else is the color matrix. Colors are clipped
    once, at the end.

    Args:
        rgba: (B, 4, S, S) in [0, 1], alpha multiplied in.
        jitter: what was drawn.
    """
    matrix = jitter.color.to(rgba.device)
    contrast = jitter.contrast.to(rgba.device)
    colors, alpha = rgba[:, :3].flatten(2), rgba[:, 3:].flatten(2)  # (B, 3, S*S), (B, 1, S*S)
    weights = (rgba.new_tensor(LUMA) @ matrix)[:, None]  # gray after the matrix
    gray = (weights @ colors).sum((1, 2)) / alpha.sum((1, 2)).clamp_min(1e-6)
    offset = ((1 - contrast) * gray)[:, None, None]
    changed = torch.baddbmm(offset * alpha, contrast[:, None, None] * matrix, colors)
    changed = torch.minimum(changed.clamp_min_(0), alpha)
    return torch.cat((changed, alpha), dim=1).view(rgba.shape)


def blur(images: Tensor, sigma: Tensor, radius: int) -> Tensor:
    """Blur images by Gaussians of their own width.

    Args:
        images: (B, C, S, S); those to be blurred are replaced in place.
        sigma: (B,) in pixels, on the CPU; 0 leaves the image as it is.
        radius: of the kernels, in pixels.
    """
    chosen = sigma.nonzero().squeeze(1)
    if len(chosen) == 0 or radius == 0:
        return images
    taps = torch.arange(-radius, radius + 1)
    kernels = torch.softmax(-(taps**2) / (2 * sigma[chosen, None] ** 2), dim=1).to(images.device)
    chosen = chosen.to(images.device)
    picked = images[chosen]
    count, channels, height, width = picked.shape
    kernels = kernels.repeat_interleave(channels, 0)
    padded = F.pad(picked, (radius,) * 4, mode="reflect")
    planes = padded.reshape(1, count * channels, height + 2 * radius, width + 2 * radius)
    planes = F.conv2d(planes, kernels[:, None, :, None], groups=count * channels)
    planes = F.conv2d(planes, kernels[:, None, None, :], groups=count * channels)
    images[chosen] = planes.view(count, channels, height, width)
    return images


def cut_out(images: Tensor, jitter: Jitter) -> Tensor:
    """Fill one rectangle per image with the background or with the image's mean color.

    Args:
        images: (B, 3, S, S).
        jitter: what was drawn.
    """
    steps = torch.arange(images.shape[-1])
    top, bottom, left, right = jitter.box[:, :, None].unbind(1)  # (B, 1) each
    rows = (steps >= top) & (steps < bottom)  # (B, S)
    columns = (steps >= left) & (steps < right)
    inside = (rows[:, None, :, None] & columns[:, None, None, :]).to(images.device)
    use_mean = jitter.fill_mean.to(images.device)[:, None]
    fill = torch.where(use_mean, images.mean((2, 3)), jitter.background.to(images.device))
    return torch.where(inside, fill[:, :, None, None], images)
