"""Losses against numbers that can be computed by hand."""

import pytest
import torch

from ss3d.training.losses import confidence, pseudo_label_distance, supervised_distance


def far_apart(num: int = 16) -> torch.Tensor:
    """Points 10 apart, so that a small shift keeps every nearest neighbor."""
    return torch.stack([torch.arange(num) * 10.0, torch.zeros(num), torch.zeros(num)], -1)[None]


def test_supervised_distance_of_a_shift_is_its_length():
    cloud = far_apart()
    shift = torch.tensor([0.3, 0.0, 0.4])
    assert supervised_distance([cloud + shift], cloud).item() == pytest.approx(0.5, rel=1e-4)


def test_auxiliary_clouds_weigh_a_tenth():
    cloud = far_apart()
    shift = torch.tensor([0.3, 0.0, 0.4])
    assert supervised_distance([cloud + shift, cloud], cloud).item() == pytest.approx(
        0.05, rel=1e-4
    )


def test_smoothing_follows_its_formula_and_zero_is_the_paper():
    cloud = far_apart()
    shift = torch.tensor([0.0, 0.03, 0.04])
    plain = pseudo_label_distance(cloud + shift, cloud, 0.0, "cd")
    smooth = pseudo_label_distance(cloud + shift, cloud, 0.01, "cd")
    assert plain.item() == pytest.approx(0.05, rel=1e-4)
    assert smooth.item() == pytest.approx((0.05**2 + 0.01**2) ** 0.5 - 0.01, rel=1e-3)


@pytest.mark.parametrize("eps", [0.0, 0.01])
@pytest.mark.parametrize("kind", ["cd", "cd+idx"])
def test_identical_clouds_have_a_finite_gradient(eps, kind):
    cloud = torch.randn(2, 32, 3, generator=torch.Generator().manual_seed(0))
    student = cloud.clone().requires_grad_()
    pseudo_label_distance(student, cloud, eps, kind).sum().backward()
    assert student.grad is not None
    assert student.grad.abs().max() == 0


def test_index_term_sees_a_permutation_that_chamfer_does_not():
    cloud = far_apart(4)
    shuffled = cloud[:, [1, 0, 3, 2]]
    assert pseudo_label_distance(shuffled, cloud, 0.0, "cd").item() == pytest.approx(0, abs=1e-6)
    assert pseudo_label_distance(shuffled, cloud, 0.0, "cd+idx").item() == pytest.approx(
        1.0, rel=1e-3
    )


def test_confidence_is_one_when_views_agree_and_falls_with_distance():
    cloud = far_apart()
    assert confidence(cloud, cloud, 0.02).item() == pytest.approx(1.0)
    shifted = cloud + torch.tensor([0.02, 0.0, 0.0])
    assert confidence(cloud, shifted, 0.02).item() == pytest.approx(0.3679, abs=1e-3)


@pytest.mark.parametrize(("eps", "slope"), [(0.0, 1.0), (0.01, 0.8944), (0.02, 0.7071)])
def test_smoothing_weakens_the_gradient_of_small_distances_only(eps, slope):
    """The derivative of sqrt(d^2 + eps^2) - eps is d / sqrt(d^2 + eps^2)."""
    cloud = far_apart()
    student = (cloud + torch.tensor([0.0, 0.02, 0.0])).requires_grad_()
    pseudo_label_distance(student, cloud, eps, "cd").sum().backward()
    assert student.grad is not None
    per_point = student.grad * cloud.shape[1]
    expected = torch.tensor([0.0, slope, 0.0]).expand_as(per_point)
    torch.testing.assert_close(per_point, expected, atol=1e-3, rtol=0)


def test_auxiliary_clouds_get_a_tenth_of_the_gradient():
    cloud = far_apart()
    shift = torch.tensor([0.3, 0.0, 0.4])
    early, last = ((cloud + shift).requires_grad_() for _ in range(2))
    supervised_distance([early, last], cloud).backward()
    assert early.grad is not None
    torch.testing.assert_close(early.grad, 0.1 * last.grad)


def test_confidence_is_that_of_each_item():
    cloud = far_apart()
    views = torch.cat([cloud, cloud + torch.tensor([0.02, 0.0, 0.0])])
    found = confidence(cloud.expand(2, -1, -1), views, 0.02)
    torch.testing.assert_close(found, torch.tensor([1.0, 0.3679]), atol=1e-3, rtol=0)
