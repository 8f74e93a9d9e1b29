import math

import pytest
import torch

from ss3d.points.shell import fibonacci_sphere, mean_spacing, neighbors


@pytest.mark.parametrize("num_points", [32, 128, 1024])
def test_points_lie_on_the_sphere_evenly(num_points: int):
    points = fibonacci_sphere(num_points, 0.5)
    assert torch.allclose(points.norm(dim=-1), torch.tensor(0.5), atol=1e-6)
    distances = torch.cdist(points, points) + 9 * torch.eye(num_points)
    assert distances.amin() > 0.6 * math.sqrt(4 * math.pi * 0.5**2 / num_points)
    assert points.mean(dim=0).norm() < 0.5 / num_points


def test_is_the_same_at_every_call():
    assert torch.equal(fibonacci_sphere(100, 0.5), fibonacci_sphere(100, 0.5))


def test_neighbors_are_the_nearest_and_include_the_point():
    points = fibonacci_sphere(200, 0.5)
    graph = neighbors(points, 8)
    assert torch.equal(graph[:, 0], torch.arange(200))
    nearest = torch.cdist(points.double(), points.double()).topk(8, largest=False).indices
    assert torch.equal(graph.sort().values, nearest.sort().values)


def test_neighbors_of_a_batch_are_those_of_each_item(monkeypatch: pytest.MonkeyPatch):
    features = torch.randn(3, 40, 7, generator=torch.Generator().manual_seed(0))
    alone = torch.stack([neighbors(item, 5) for item in features])
    monkeypatch.setattr("ss3d.points.pairwise.CHUNK_ELEMENTS", 500)
    assert torch.equal(neighbors(features, 5).sort().values, alone.sort().values)


def test_a_point_is_its_own_neighbor_among_duplicates():
    graph = neighbors(torch.zeros(10, 3), 4)
    assert torch.equal(graph[:, 0], torch.arange(10))
    assert all(len(set(row)) == 4 for row in graph.tolist())


def test_spacing_of_a_square_lattice_is_its_step():
    axis = torch.arange(10.0)
    points = 0.25 * torch.cartesian_prod(axis, axis, torch.zeros(1))
    assert mean_spacing(points, neighbors(points, 3)) == pytest.approx(0.25, rel=1e-6)
