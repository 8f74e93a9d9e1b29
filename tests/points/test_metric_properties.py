"""What holds for the official metric on any clouds, not on chosen ones."""

from __future__ import annotations

import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from ss3d.points.chamfer import (
    chamfer_directions,
    chamfer_l1,
    nearest_by_product,
    nearest_distances,
)

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.integers(1, 40)
COORDINATES = st.integers(-8, 8).map(lambda i: i / 8)  # ties and coinciding points are common
CLOUDS = st.lists(st.tuples(COORDINATES, COORDINATES, COORDINATES), min_size=1, max_size=12).map(
    lambda rows: torch.tensor(rows).unsqueeze(0)
)
always = settings(max_examples=50, deadline=None)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pair(seed: int, n: int, m: int, batch: int = 1) -> tuple[Tensor, Tensor]:
    """Two clouds in the unit ball."""
    random = generator(seed)
    clouds = [torch.randn(batch, count, 3, generator=random) for count in (n, m)]
    first, second = (c / c.norm(dim=-1).amax(dim=1).view(-1, 1, 1) for c in clouds)
    return first, second


def brute_force(predicted: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    distances = (predicted.double().unsqueeze(2) - target.double().unsqueeze(1)).norm(dim=-1)
    return distances.amin(2).mean(1), distances.amin(1).mean(1)


def rows(cloud: Tensor) -> set[tuple[float, ...]]:
    return {tuple(point) for point in cloud[0].tolist()}


@always
@given(first=CLOUDS, second=CLOUDS)
def test_is_zero_for_equal_sets_and_for_no_others(first: Tensor, second: Tensor):
    assert (chamfer_l1(first, second).item() == 0) == (rows(first) == rows(second))
    forward, _ = chamfer_directions(first, second)
    assert (forward.item() == 0) == (rows(first) <= rows(second))


@always
@given(first=CLOUDS, second=CLOUDS)
def test_both_directions_equal_brute_force_with_ties_and_duplicates(first: Tensor, second: Tensor):
    for ours, expected in zip(
        chamfer_directions(first, second), brute_force(first, second), strict=True
    ):
        torch.testing.assert_close(ours.double(), expected, rtol=1e-5, atol=1e-7)


@always
@given(first=CLOUDS, second=CLOUDS)
def test_the_engine_of_a_gpu_finds_points_as_near(first: Tensor, second: Tensor):
    into_second, _ = nearest_by_product(first, second)
    found = (first[0] - second[0, into_second[0]]).norm(dim=-1)
    torch.testing.assert_close(found, nearest_distances(first, second)[0][0], rtol=0, atol=1e-3)


@always
@given(seed=SEEDS, n=SIZES, m=SIZES)
def test_swapping_the_clouds_swaps_the_directions(seed: int, n: int, m: int):
    first, second = pair(seed, n, m)
    forward, backward = chamfer_directions(first, second)
    swapped = chamfer_directions(second, first)
    assert torch.equal(torch.stack(swapped), torch.stack((backward, forward)))
    assert torch.equal(chamfer_l1(first, second), chamfer_l1(second, first))


@always
@given(seed=SEEDS, n=SIZES, m=SIZES)
def test_the_order_of_either_cloud_does_not_matter(seed: int, n: int, m: int):
    first, second = pair(seed, n, m)
    random = generator(seed + 1)
    orders = torch.randperm(n, generator=random), torch.randperm(m, generator=random)
    forward, backward = nearest_distances(first, second)
    shuffled = nearest_distances(first[:, orders[0]], second[:, orders[1]])
    assert torch.equal(shuffled[0], forward[:, orders[0]])
    assert torch.equal(shuffled[1], backward[:, orders[1]])


@always
@given(seed=SEEDS, n=SIZES, m=SIZES)
def test_turning_or_mirroring_both_clouds_changes_nothing(seed: int, n: int, m: int):
    first, second = pair(seed, n, m)
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=generator(seed))).Q
    turned = [(cloud.double() @ turn).float() for cloud in (first, second)]
    torch.testing.assert_close(chamfer_l1(*turned), chamfer_l1(first, second), rtol=1e-5, atol=1e-6)


@always
@given(seed=SEEDS, n=SIZES, m=SIZES)
def test_moving_or_turning_one_cloud_alone_is_seen(seed: int, n: int, m: int):
    """The prediction is taken as it is: nothing is aligned before it is measured."""
    assume(n > 2)
    first, _ = pair(seed, n, m)
    assert chamfer_l1(first + 0.01, first).item() > 1e-3
    assert chamfer_l1(first * torch.tensor([-1.0, -1.0, 1.0]), first).item() > 1e-4


@always
@given(seed=SEEDS, n=SIZES, m=SIZES, exponent=st.integers(-6, 6))
def test_scaling_both_clouds_scales_it(seed: int, n: int, m: int, exponent: int):
    """Exactly, for powers of two: the nearest neighbors are the same."""
    first, second = pair(seed, n, m)
    scaled = chamfer_l1(first * 2.0**exponent, second * 2.0**exponent)
    torch.testing.assert_close(scaled, chamfer_l1(first, second) * 2.0**exponent, rtol=1e-6, atol=0)


@always
@given(seed=SEEDS, n=SIZES, m=SIZES, batch=st.integers(2, 5))
def test_a_pair_has_its_distance_in_any_company(seed: int, n: int, m: int, batch: int):
    first, second = pair(seed, n, m, batch)
    order = torch.randperm(batch, generator=generator(seed))
    together = chamfer_l1(first, second)
    assert torch.equal(chamfer_l1(first[order], second[order]), together[order])
    alone = torch.cat([chamfer_l1(a[None], b[None]) for a, b in zip(first, second, strict=True)])
    torch.testing.assert_close(together, alone, rtol=1e-6, atol=0)


@always
@given(seed=SEEDS, n=SIZES, m=SIZES, eps=st.floats(1e-4, 1.0))
def test_smoothing_lowers_every_distance_by_at_most_eps(seed: int, n: int, m: int, eps: float):
    first, second = pair(seed, n, m)
    plain, smooth = chamfer_l1(first, second), chamfer_l1(first, second, eps)
    assert (smooth <= plain + 1e-6).all()
    assert (smooth >= plain - eps - 1e-6).all()
