import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ss3d.points.chamfer import (
    chamfer_directions,
    chamfer_l1,
    nearest,
    nearest_by_product,
    nearest_by_tree,
)


def cloud(seed: int, batch: int, points: int, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(batch, points, 3, generator=torch.Generator().manual_seed(seed))


def brute_force(predicted: Tensor, target: Tensor) -> Tensor:
    distances = (predicted.double().unsqueeze(2) - target.double().unsqueeze(1)).norm(dim=-1)
    return (distances.amin(2).mean(1) + distances.amin(1).mean(1)) / 2


def lattice(side: int) -> Tensor:
    axis = torch.arange(side, dtype=torch.float32)
    return torch.cartesian_prod(axis, axis, axis).unsqueeze(0)


def test_equals_brute_force():
    predicted, target = cloud(0, 3, 50), cloud(1, 3, 70)
    assert torch.allclose(
        chamfer_l1(predicted, target).double(), brute_force(predicted, target), rtol=1e-6
    )


def test_two_points_by_hand():
    predicted = torch.tensor([[[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]])
    target = torch.tensor([[[0.0, 3.0, 4.0]]])
    to_target, to_predicted = chamfer_directions(predicted, target)
    assert to_target.item() == pytest.approx((5 + math.sqrt(26)) / 2)
    assert to_predicted.item() == pytest.approx(5)
    assert chamfer_l1(predicted, target).item() == pytest.approx((15 + math.sqrt(26)) / 4)


def test_far_apart_points_moved_by_a_shift_are_that_far():
    points = lattice(4)
    shift = torch.tensor([0.0, 0.3, 0.4])
    assert chamfer_l1(points, points + shift).item() == pytest.approx(0.5, rel=1e-5)


def test_smoothed_distance_of_a_shift():
    points = lattice(4)
    value = chamfer_l1(points, points + torch.tensor([0.0, 0.3, 0.4]), eps=0.1).item()
    assert value == pytest.approx(math.sqrt(0.25 + 0.01) - 0.1, rel=1e-5)


@pytest.mark.parametrize("eps", [0.0, 0.01])
def test_identical_clouds_have_distance_and_gradient_zero(eps: float):
    points = cloud(0, 2, 64).requires_grad_()
    value = chamfer_l1(points, points.detach().clone(), eps).sum()
    value.backward()
    assert value.item() == 0
    assert points.grad is not None
    assert torch.equal(points.grad, torch.zeros_like(points))


def test_smoothing_removes_the_gradient_of_nearly_identical_clouds():
    norms = []
    for eps in (0.0, 0.01):
        points = cloud(0, 1, 64).requires_grad_()
        chamfer_l1(points, points.detach() + 1e-6, eps).sum().backward()
        assert points.grad is not None
        norms.append(points.grad.norm().item())
    assert norms[0] == pytest.approx(1 / math.sqrt(64), rel=0.1)
    assert norms[1] < 1e-3 * norms[0]


def test_gradient_equals_finite_differences():
    predicted, target = cloud(0, 1, 12), cloud(1, 1, 15)
    points = predicted.clone().requires_grad_()
    chamfer_l1(points, target).sum().backward()
    assert points.grad is not None
    step = torch.zeros_like(predicted)
    step[0, 5, 1] = 1e-4
    slope = (brute_force(predicted + step, target) - brute_force(predicted - step, target)) / 2e-4
    assert points.grad[0, 5, 1].item() == pytest.approx(slope.item(), rel=1e-2, abs=1e-4)


def test_target_gets_the_mirrored_gradient():
    a, b = cloud(0, 2, 20).requires_grad_(), cloud(1, 2, 20).requires_grad_()
    chamfer_l1(a, b).sum().backward()
    assert a.grad is not None
    assert b.grad is not None
    assert torch.allclose(a.grad.sum((0, 1)), -b.grad.sum((0, 1)), atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), n=st.integers(1, 40), m=st.integers(1, 40))
def test_is_symmetric_and_scales_with_the_clouds(seed: int, n: int, m: int):
    a, b = cloud(seed, 2, n), cloud(seed + 1, 2, m)
    value = chamfer_l1(a, b)
    assert torch.equal(value, chamfer_l1(b, a))
    assert (value >= 0).all()
    assert torch.allclose(chamfer_l1(3 * a, 3 * b), 3 * value, rtol=1e-5)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), shift=st.floats(-1, 1))
def test_does_not_depend_on_frame_or_order(seed: int, shift: float):
    a, b = cloud(seed, 1, 30), cloud(seed + 1, 1, 30)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(seed))
    rotation = torch.linalg.qr(cloud(seed, 1, 3)[0]).Q
    moved = chamfer_l1(a[:, order] @ rotation + shift, b @ rotation + shift)
    assert torch.allclose(moved, chamfer_l1(a, b), rtol=1e-4, atol=1e-5)


def test_the_product_engine_agrees_with_the_tree():
    predicted, target = cloud(0, 2, 300) + 5, cloud(1, 2, 500) + 5
    for tree, product in zip(
        nearest_by_tree(predicted, target), nearest_by_product(predicted, target), strict=True
    ):
        assert torch.equal(tree, product)


def test_the_product_engine_cuts_large_clouds_into_blocks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ss3d.points.pairwise.CHUNK_ELEMENTS", 1000)
    predicted, target = cloud(0, 2, 97), cloud(1, 2, 41)
    for tree, product in zip(
        nearest_by_tree(predicted, target), nearest_by_product(predicted, target), strict=True
    ):
        assert torch.equal(tree, product)


def test_is_fp32_inside_autocast():
    predicted, target = cloud(0, 1, 64), cloud(1, 1, 64)
    expected = chamfer_l1(predicted, target)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(chamfer_l1(predicted, target), expected)
        for tree, product in zip(
            nearest_by_tree(predicted, target), nearest_by_product(predicted, target), strict=True
        ):
            assert torch.equal(tree, product)
    assert chamfer_l1(predicted.bfloat16(), target).dtype == torch.float32


def test_a_point_that_is_not_finite_makes_the_distance_not_finite():
    for bad in (math.nan, math.inf):
        predicted = cloud(0, 2, 16)
        predicted[0, 3, 1] = bad
        value = chamfer_l1(predicted, cloud(1, 2, 16))
        assert not value[0].isfinite()
        assert value[1].isfinite()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_gpu_agrees_with_the_cpu():
    predicted, target = cloud(0, 2, 1024), cloud(1, 2, 1024)
    on_gpu = nearest(predicted.cuda(), target.cuda())
    for gpu, cpu in zip(on_gpu, nearest(predicted, target), strict=True):
        assert torch.equal(gpu.cpu(), cpu)
    value = chamfer_l1(predicted.cuda(), target.cuda()).cpu()
    assert torch.allclose(value, chamfer_l1(predicted, target), rtol=1e-6)
