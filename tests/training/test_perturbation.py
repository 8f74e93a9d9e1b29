"""Feature perturbation: where, what and for which rows."""

import pytest
import torch

from ss3d.config import TrialConfig
from ss3d.training.perturbation import FeaturePerturbation


def perturb(**changes) -> FeaturePerturbation:
    config = TrialConfig().override({f"semi.{k}": v for k, v in changes.items()}).semi
    return FeaturePerturbation(config, torch.Generator().manual_seed(0), rows=2)


def test_dropout_zeroes_whole_channels_of_the_last_rows_and_scales_the_rest():
    features = torch.ones(5, 64, 3, 3)
    out = perturb(fp_magnitude=0.5)("image_map", features)
    assert torch.equal(out[:3], features[:3])
    channels = out[3:].flatten(2)
    assert torch.equal(channels.amin(-1), channels.amax(-1))
    assert set(channels.unique().tolist()) == {0.0, 2.0}


@pytest.mark.parametrize("where", ["tokens", "points"])
def test_it_acts_at_its_place_only(where):
    features = torch.ones(4, 10, 32)
    apply = perturb(fp_where=where)
    assert torch.equal(apply("image_map", torch.ones(4, 32, 2, 2)), torch.ones(4, 32, 2, 2))
    out = apply(where, features)
    assert torch.equal(out[2:].amin(1), out[2:].amax(1))
    assert out[2:].unique().tolist() == [0.0, 2.0]


def test_noise_has_the_relative_size_asked_for():
    features = 3 * torch.randn(4, 128, 8, 8, generator=torch.Generator().manual_seed(1))
    out = perturb(fp_mode="noise", fp_magnitude=0.2)("image_map", features)
    assert torch.equal(out[:2], features[:2])
    assert abs((out - features)[2:].std().item() - 0.6) < 0.02


def test_magnitude_zero_changes_nothing():
    features = torch.randn(4, 8, 2, 2)
    assert torch.equal(perturb(fp_magnitude=0.0)("image_map", features), features)


@pytest.mark.parametrize("where", ["image_map", "tokens", "points"])
def test_gradients_are_scaled_as_the_features_are(where):
    shape = (4, 16, 3, 3) if where == "image_map" else (4, 9, 16)
    features = torch.randn(shape, generator=torch.Generator().manual_seed(1)).requires_grad_()
    out = perturb(fp_where=where, fp_magnitude=0.25)(where, features)
    (gradient,) = torch.autograd.grad(out.sum(), features)
    torch.testing.assert_close(gradient * features, out)
    assert torch.equal(gradient[:2], torch.ones_like(gradient[:2]))
    assert gradient[2:].unique().tolist() == [0.0, pytest.approx(4 / 3)]


def test_noise_is_a_constant_for_the_gradient():
    features = torch.randn(4, 16, 3, 3).requires_grad_()
    out = perturb(fp_mode="noise")("image_map", features)
    (gradient,) = torch.autograd.grad(out.sum(), features)
    assert torch.equal(gradient, torch.ones_like(gradient))


def test_dropout_keeps_the_mean():
    features = torch.ones(4, 20_000, 1, 1)
    out = perturb(fp_magnitude=0.8)("image_map", features)[2:]
    assert out.mean().item() == pytest.approx(1.0, abs=0.04)  # deviation of the mean 0.01
