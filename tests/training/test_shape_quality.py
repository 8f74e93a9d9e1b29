"""The prose claims as numbers, on clouds whose values are known."""

import math

import pytest
import torch

from ss3d.errors import DataError
from ss3d.training import shape_quality as quality


def lattice(side: int, step: float = 1.0) -> torch.Tensor:
    """(1, side^2, 3): a square lattice in the plane y = 0."""
    x, z = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    flat = torch.stack((x.flatten(), torch.zeros(side**2), z.flatten()), dim=-1)
    return step * flat.float()[None]


def random_plane(count: int, seed: int = 0) -> torch.Tensor:
    points = torch.rand(1, count, 3, generator=torch.Generator().manual_seed(seed))
    return points * torch.tensor([1.0, 0.0, 1.0])


def test_a_lattice_has_one_spacing_and_no_variation():
    assert torch.equal(quality.nearest_spacing(lattice(5, 0.5)), torch.full((1, 25), 0.5))
    assert quality.spacing_variation(lattice(5)).item() == 0


def test_variation_of_two_spacings_by_hand():
    pairs = torch.tensor([0.0, 1.0, 10.0, 13.0])  # spacings 1, 1, 3, 3
    cloud = torch.stack((pairs, torch.zeros(4), torch.zeros(4)), dim=-1)[None]
    assert quality.spacing_variation(cloud).item() == pytest.approx(0.5)


def test_variation_of_independent_points_is_that_of_a_poisson_process():
    expected = math.sqrt(4 / math.pi - 1)  # of the Rayleigh distribution
    assert quality.spacing_variation(random_plane(8000)).item() == pytest.approx(expected, rel=0.03)


def test_clumped_points_vary_more_whatever_their_scale():
    clumped = random_plane(500)
    clumped[:, :250] = 0.02 * clumped[:, :250]
    plain, worse = (quality.spacing_variation(c).item() for c in (random_plane(500), clumped))
    assert worse > 1.3 * plain
    assert quality.spacing_variation(7 * clumped).item() == pytest.approx(worse, rel=1e-3)


def test_a_void_is_farther_than_two_spacings():
    target = lattice(10, 0.1)
    distances = torch.full((1, 100), 0.19)
    distances[:, :25] = 0.21
    assert quality.void_share(distances, target).item() == pytest.approx(0.25)


def test_another_sampling_of_the_same_surface_has_few_voids():
    target, other = random_plane(4000), random_plane(4000, seed=1)
    distances = torch.cdist(target, other).amin(-1)
    assert quality.void_share(distances, target).item() == pytest.approx(
        math.exp(-math.pi), abs=0.012
    )


def plate_and_rod() -> torch.Tensor:
    """(1, 1000, 3): 900 points of a plate, then 100 of a thin rod far above it."""
    rod = torch.stack((torch.zeros(100), torch.linspace(5, 15, 100), torch.zeros(100)), dim=-1)
    return torch.cat((lattice(30, 0.1), rod[None]), dim=1)


def test_the_thinnest_tenth_is_the_rod():
    width = quality.patch_width(plate_and_rod())[0]
    assert width[900:].max() < 1e-3
    assert width[:900].min() > 0.05


def test_width_of_a_wide_surface_is_about_half_the_radius_of_the_patch():
    count = 4000
    width = quality.patch_width(random_plane(count)).median().item()
    half = math.sqrt(quality.PATCH_POINTS / (count * math.pi)) / 2
    assert 0.8 * half < width < half  # the smaller of two axes that are equal but for chance


def test_width_of_a_strip_is_that_of_the_strip():
    strip = lattice(60, 0.1)[:, :120]  # two rows of 60
    middle = quality.patch_width(strip)[0, 20:40]
    assert middle.tolist() == pytest.approx([0.05] * 20, rel=0.02)


def test_distance_of_thin_parts_ignores_the_others():
    distances = torch.cat((torch.full((1, 900), 0.01), torch.full((1, 100), 0.3)), dim=1)
    assert quality.thin_distance(distances, plate_and_rod()).item() == pytest.approx(0.3)


def test_disagreement_is_the_mean_over_all_pairs_of_views():
    cloud = lattice(4, 10.0)
    shifts = [torch.tensor([dx, 0.0, 0.0]) for dx in (0.0, 0.3, 0.9)]
    views = [cloud + shift for shift in shifts]
    assert quality.view_disagreement(views).item() == pytest.approx((0.3 + 0.9 + 0.6) / 3)
    assert quality.view_disagreement([cloud, cloud]).item() == 0


def test_random_pairs_follow_the_order_and_close_the_circle():
    clouds = torch.cat([lattice(4, 10.0) + torch.tensor([x, 0, 0]) for x in (0.0, 1.0, 3.0)])
    found = quality.random_pair_distance(clouds, torch.tensor([2, 0, 1]))
    assert found.tolist() == pytest.approx([3.0, 1.0, 2.0])


def test_the_floor_compares_two_disjoint_halves():
    half = lattice(32, 1.0)  # 1024 points
    shifted = half + torch.tensor([0.0, 0.25, 0.0])
    beyond = torch.full((1, 10, 3), 99.0)
    floor = quality.resampling_floor(torch.cat((half, shifted, beyond), dim=1))
    assert floor is not None
    assert floor.item() == pytest.approx(0.25)
    assert quality.resampling_floor(torch.cat((half, shifted[:, 1:]), dim=1)) is None


def test_a_cloud_outside_the_unit_ball_is_named():
    cloud = torch.tensor([[[1.0, 0, 0], [0, 0.5, 0]]]).repeat(2, 1, 1)
    quality.check_frame(cloud * 1.0009, ["chair/1", "chair/2"])
    cloud[1] *= 0.5
    with pytest.raises(DataError, match=r"chair/2: the greatest norm of its cloud is 0\.5000"):
        quality.check_frame(cloud, ["chair/1", "chair/2"])
    with pytest.raises(DataError, match="nan"):
        quality.check_frame(cloud * math.nan, ["chair/1", "chair/2"])
