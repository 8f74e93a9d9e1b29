"""What the paper claims of its clouds in prose, as numbers (method section 12).

Even and without voids, the same from every view, thin parts kept; and the frame that all distances
are measured in. Everything here is a pure function of clouds and of distances already measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor

from ss3d.errors import DataError
from ss3d.points.chamfer import chamfer_l1
from ss3d.points.shell import neighbors

VOID_SPACINGS = 2.0
"""A target point is in a void when it is farther from the prediction than this many spacings."""
THIN_SHARE = 0.1
"""Share of the target points that count as thin."""
PATCH_POINTS = 32
"""Points of the patch whose width decides how thin the shape is around a point."""
FLOOR_POINTS = 1024
"""Points of each half of the resampling floor."""
FLOOR_SHARE = 0.8
"""A mean below this share of the mean floor is too good for the frame it claims (section 8.1)."""
FRAME_TOLERANCE = 1e-3
"""Largest departure of a target's greatest norm from 1."""


def nearest_spacing(clouds: Tensor) -> Tensor:
    """Return every point's distance to the nearest other point of its cloud.

    Args:
        clouds: (B, N, 3), object units.

    Returns:
        (B, N) object units.
    """
    others = neighbors(clouds, 2)[..., 1:]  # (B, N, 1)
    nearest = clouds.gather(1, others.expand(-1, -1, 3))
    return torch.linalg.vector_norm(clouds - nearest, dim=-1)


def spacing_variation(clouds: Tensor) -> Tensor:
    """Return the coefficient of variation of the nearest-neighbor spacing: 0 is a lattice.

    Points drawn independently on a plane have 0.52; larger is clumped.

    Args:
        clouds: (B, N, 3).

    Returns:
        (B,) standard deviation over mean.
    """
    spacing = nearest_spacing(clouds)
    return spacing.std(dim=-1, correction=0) / spacing.mean(dim=-1).clamp_min(1e-12)


def void_share(gt_to_pred: Tensor, target: Tensor) -> Tensor:
    """Return the share of target points that the prediction misses by over two spacings.

    Another random sampling of the same surface with as many points has exp(-pi) = 0.04.

    Args:
        gt_to_pred: (B, M) distance of every target point to the prediction, object units.
        target: (B, M, 3), whose mean nearest-neighbor distance is its spacing.

    Returns:
        (B,) in [0, 1].
    """
    spacing = nearest_spacing(target).mean(dim=-1, keepdim=True)
    return (gt_to_pred > VOID_SPACINGS * spacing).float().mean(dim=-1)


def patch_width(clouds: Tensor) -> Tensor:
    """Return how wide the shape is around every point: small on legs, rods, tips and narrow fins.

    The standard deviation of the point's 32 nearest neighbors along their second principal axis.
    Points sample the area evenly, so a patch has the same area everywhere: on a wide surface it is
    a disc and this is about half its radius; on a rod it is a strip and this is the rod's width.

    Args:
        clouds: (B, M, 3), at least 32 points.

    Returns:
        (B, M) object units.
    """
    index = neighbors(clouds, min(PATCH_POINTS, clouds.shape[1]))  # (B, M, k)
    rows = torch.arange(len(clouds), device=clouds.device)[:, None, None]
    patches = clouds[rows, index].double()  # (B, M, k, 3)
    centered = patches - patches.mean(dim=2, keepdim=True)
    covariance = centered.mT @ centered / index.shape[-1]
    return torch.linalg.eigvalsh(covariance)[..., 1].clamp_min(0).sqrt().float()


def thin_distance(gt_to_pred: Tensor, target: Tensor) -> Tensor:
    """Return the mean distance to the prediction of the thinnest tenth of the target points.

    Args:
        gt_to_pred: (B, M) distance of every target point to the prediction, object units.
        target: (B, M, 3).

    Returns:
        (B,) object units.
    """
    count = max(1, int(THIN_SHARE * target.shape[1]))
    thinnest = patch_width(target).topk(count, dim=-1, largest=False).indices
    return gt_to_pred.gather(1, thinnest).mean(dim=-1)


def view_disagreement(predictions: Sequence[Tensor]) -> Tensor:
    """Return the mean Chamfer distance between what several views of one object predict.

    Args:
        predictions: one (B, N, 3) per view, at least two views.

    Returns:
        (B,) object units, the mean over all pairs of views.
    """
    pairs = combinations(predictions, 2)
    return torch.stack([chamfer_l1(first, second) for first, second in pairs]).mean(dim=0)


def random_pair_distance(clouds: Tensor, order: Tensor) -> Tensor:
    """Return the Chamfer distance of every cloud to the next in an order, cyclically.

    Args:
        clouds: (B, N, 3), at least two.
        order: (B,) permutation of the clouds.

    Returns:
        (B,) object units, in that order.
    """
    return chamfer_l1(clouds[order], clouds[order.roll(-1)])


def resampling_floor(stored: Tensor) -> Tensor | None:
    """Return the distance between two samplings of the same surface: what no method is below.

    Args:
        stored: (B, P, 3) in random order; two disjoint halves of 1024 are compared.

    Returns:
        (B,) object units, or None with fewer than 2048 points.
    """
    if stored.shape[1] < 2 * FLOOR_POINTS:
        return None
    return chamfer_l1(stored[:, :FLOOR_POINTS], stored[:, FLOOR_POINTS : 2 * FLOOR_POINTS])


def check_frame(stored: Tensor, ids: Sequence[str]) -> None:
    """Assert that targets fill the unit ball: the frame in which `cd_l1` is the paper's.

    Args:
        stored: (B, P, 3), all stored points.
        ids: of the models.

    Raises:
        DataError: the greatest norm of a cloud is not 1 within 0.001.
    """
    reach = torch.linalg.vector_norm(stored, dim=-1).amax(dim=-1)
    for name, value in zip(ids, reach.tolist(), strict=True):
        if not abs(value - 1) <= FRAME_TOLERANCE:
            raise DataError(
                f"{name}: the greatest norm of its cloud is {value:.4f}, expected 1 within "
                f"{FRAME_TOLERANCE}: it is not in the unit ball; prepare the data again"
            )
