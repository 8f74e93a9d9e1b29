"""The spherical shell that every prediction deforms, and neighbor graphs on point sets."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ss3d.points.pairwise import squared_distances


def fibonacci_sphere(num_points: int, radius: float) -> Tensor:
    """Return points spread evenly over a sphere, the same at every call.

    t = (i + 1/2) / N, phi = arccos(1 - 2t), theta = pi (1 + sqrt 5) i; the paper only says
    "uniform on a spherical shell".

    Args:
        num_points: N.
        radius: object units.

    Returns:
        (N, 3) fp32 on the CPU.
    """
    i = torch.arange(num_points, dtype=torch.float64, device="cpu")
    phi = torch.arccos(1 - 2 * (i + 0.5) / num_points)
    theta = math.pi * (1 + math.sqrt(5)) * i
    directions = (theta.cos() * phi.sin(), theta.sin() * phi.sin(), phi.cos())
    return (radius * torch.stack(directions, dim=-1)).float()


@torch.no_grad()
def neighbors(points: Tensor, k: int) -> Tensor:
    """Return the k nearest points of every point, itself first, the others in no order.

    Args:
        points: (N, C) or (B, N, C); C may be features.
        k: neighbors, itself included, at most N.

    Returns:
        (N, k) or (B, N, k) indices.
    """
    clouds = points if points.ndim == 3 else points.unsqueeze(0)
    blocks = []
    for start, distances in squared_distances(clouds, clouds):
        rows = torch.arange(distances.shape[1], device=points.device)
        own = (rows + start).expand(len(clouds), -1).unsqueeze(-1)
        others = distances.scatter(-1, own, torch.inf).topk(k - 1, largest=False, sorted=False)
        blocks.append(torch.cat((own, others.indices), dim=-1))
    graph = torch.cat(blocks, dim=1)
    return graph if points.ndim == 3 else graph.squeeze(0)


def mean_spacing(points: Tensor, graph: Tensor) -> float:
    """Return the mean distance of points (N, 3) to their neighbors (N, k), without themselves."""
    distances = torch.linalg.vector_norm(points[graph] - points.unsqueeze(1), dim=-1)
    return float(distances.sum() / (distances > 0).sum())
