"""The losses of both phases (SS3D eqs. 18-22), on clouds that the network has already predicted.

Certain: eq. 18. Likely: eq. 19 and the weights of eq. 21. Guessed: the weights of eqs. 20 and 22.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from ss3d.points.chamfer import chamfer_l1

AUXILIARY_WEIGHT = 0.1
"""Weight of the clouds that `progressive_coords` predicts after each stage (our choice)."""
INDEX_WEIGHT = 0.1
"""Weight of the index-wise term of `cd+idx` (our choice; not in the paper)."""


def supervised_distance(clouds: Sequence[Tensor], target: Tensor) -> Tensor:
    """Return the mean L1 Chamfer distance of a labeled batch (eq. 18, high).

    The first term of eq. 20, whose other, orthogonality, has a guessed weight.

    Args:
        clouds: predictions (B, N, 3), the final one last; earlier ones are auxiliary.
        target: (B, M, 3), object units.

    Returns:
        Scalar, object units.
    """
    distance = chamfer_l1(clouds[-1], target).mean()
    for cloud in clouds[:-1]:
        distance = distance + AUXILIARY_WEIGHT * chamfer_l1(cloud, target).mean()
    return distance


def pseudo_label_distance(
    predicted: Tensor, pseudo_label: Tensor, eps: float, kind: Literal["cd", "cd+idx"]
) -> Tensor:
    """Return each item's distance to its pseudo-label, one term of eq. 21 (medium-high).

    Smoothing and the index-wise term are ours.

    Args:
        predicted: (B, N, 3), the student's cloud.
        pseudo_label: (B, N, 3), the teacher's cloud, without gradient.
        eps: smoothing sqrt(d^2 + eps^2) - eps in object units; 0 is the paper's distance.
        kind: `cd+idx` adds the distance between points of equal index: both clouds deform the
            same indexed shell.

    Returns:
        (B,) object units.
    """
    distance = chamfer_l1(predicted, pseudo_label, eps)
    if kind == "cd+idx":
        squared = (predicted - pseudo_label).square().sum(-1)
        smoothing = max(eps, 1e-6)  # keeps the gradient finite where both clouds agree
        index_wise = (squared + smoothing**2).sqrt() - smoothing
        distance = distance + INDEX_WEIGHT * index_wise.mean(-1)
    return distance


def confidence(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Return exp(-CD / temperature) of the teacher's clouds of two weak views.

    Our option: no equation of the paper has it.

    Args:
        first: (B, N, 3).
        second: (B, N, 3).
        temperature: object units, above 0.

    Returns:
        (B,) in (0, 1].
    """
    return torch.exp(-chamfer_l1(first, second) / temperature)
