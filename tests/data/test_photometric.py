import pytest
import torch

from ss3d.data.jitter import LUMA, Jitter, blur_radius, draw_jitter
from ss3d.data.photometric import augment, blur, cut_out, recolor, zoom
from ss3d.data.randomness import generator


def jitter(batch, **changes):
    plain = {
        "color": torch.eye(3).repeat(batch, 1, 1),
        "contrast": torch.ones(batch),
        "background": torch.ones(batch, 3),
        "affine": torch.eye(2, 3).repeat(batch, 1, 1),
        "sigma": torch.zeros(batch),
        "box": torch.zeros(batch, 4),
        "fill_mean": torch.zeros(batch, dtype=torch.bool),
    }
    return Jitter(**(plain | changes))


def drawn(strength=1.0, batch=4000, side=224, background=1.0):
    return draw_jitter(batch, side, background, strength, generator(0, "jitter"))


def object_on_nothing(batch=2, side=16):
    random = torch.Generator().manual_seed(0)
    rgba = torch.rand(batch, 4, side, side, generator=random)
    rgba[:, 3] = 0
    rgba[:, 3, 4:12, 4:12] = 1
    rgba[:, :3] *= rgba[:, 3:]
    return rgba


def test_every_sample_has_parameters_of_its_own():
    values = drawn(batch=64)
    flat = torch.cat([values.color.flatten(1), values.affine.flatten(1), values.background], dim=1)
    assert len(torch.unique(flat, dim=0)) == 64
    assert len(torch.unique(values.contrast)) > 40


@pytest.mark.parametrize("strength", [0.1, 0.6, 1.0])
def test_ranges_and_gates_are_those_of_the_table(strength):
    """At 4000 draws a share of 1/2 has a standard deviation of 0.008."""
    values = drawn(strength)
    gate = 0.5 * min(1, strength / 0.2)
    assert (values.sigma > 0).float().mean() == pytest.approx(gate, abs=0.04)
    blurred = values.sigma[values.sigma > 0]
    assert blurred.min() >= 0.1
    assert 0.9 * (0.1 + 1.9 * strength) < blurred.max() <= 0.1 + 1.9 * strength
    assert (values.contrast != 1).float().mean() == pytest.approx(0.8, abs=0.03)
    assert (values.contrast - 1).abs().max() == pytest.approx(0.5 * strength, rel=0.02)
    assert values.background.min() == pytest.approx(1 - 60 / 255 * strength, abs=0.002)
    assert values.background.max() <= 1
    zooms = 1 / values.affine[:, 0, 0]
    assert (zooms - 1).abs().max() == pytest.approx(0.1 * strength, rel=0.02)
    shift = (values.affine[:, :, 2] * zooms[:, None] / 2).abs().max()
    assert shift == pytest.approx(0.04 * strength, rel=0.02)
    top, bottom, left, right = values.box.T
    area = (bottom - top) * (right - left) / 224**2
    assert (area > 0).float().mean() == pytest.approx(gate, abs=0.04)
    assert area.max() <= 0.25 * strength * 1.02
    assert values.box.min() >= 0
    assert values.box.max() <= 224
    saturated = values.color - values.color.mean(1, keepdim=True)
    gray = saturated.abs().amax((1, 2)) < 1e-5  # all rows the same
    assert gray.float().mean() == pytest.approx(0.2 * strength, abs=0.03)


def test_a_dark_background_is_jittered_upwards():
    background = drawn(background=0.0).background
    assert background.min() >= 0
    assert background.max() == pytest.approx(60 / 255, abs=0.002)


def test_blur_is_given_in_pixels_of_224():
    small, large = drawn(side=56, batch=50).sigma, drawn(side=224, batch=50).sigma
    assert torch.allclose(4 * small, large)
    assert blur_radius(224, 1.0) == 6
    assert blur_radius(64, 1.0) == 2


def test_color_matrix_keeps_gray_up_to_brightness():
    """Saturation, hue and permutation leave gray alone; brightness scales it."""
    grays = drawn(batch=500).color @ torch.ones(3)
    assert torch.allclose(grays, grays[:, :1].expand(-1, 3), atol=1e-5)
    assert 0.5 <= grays.min() <= 0.55
    assert 1.45 <= grays.max() <= 1.5


def test_identity_jitter_keeps_the_object():
    rgba = object_on_nothing()
    assert torch.allclose(recolor(rgba, jitter(2)), rgba, atol=1e-6)
    assert torch.allclose(zoom(rgba, jitter(2).affine), rgba, atol=1e-5)
    images = rgba[:, :3]
    assert torch.equal(cut_out(images, jitter(2)), images)
    assert torch.equal(blur(images.clone(), torch.zeros(2), 3), images)


def test_contrast_zero_is_the_mean_gray_of_the_object_alone():
    rgba = object_on_nothing()
    flat = recolor(rgba, jitter(2, contrast=torch.zeros(2)))
    inside = rgba[:, :3, 4:12, 4:12]
    gray = (inside * torch.tensor(LUMA)[:, None, None]).sum(1).mean((1, 2))
    assert torch.allclose(flat[:, :3, 4:12, 4:12], gray[:, None, None, None].expand(-1, 3, 8, 8))
    assert (flat[:, :3, :4] == 0).all()


def test_colors_are_clipped_to_the_alpha():
    rgba = object_on_nothing() * 0.5
    bright = recolor(rgba, jitter(2, color=10 * torch.eye(3).repeat(2, 1, 1)))
    assert (bright[:, :3] <= bright[:, 3:]).all()


def test_background_shows_behind_transparency_only():
    """Away from the border, opaque pixels do not depend on the background's color."""
    rgba = object_on_nothing(side=64)
    rgba[:, 3], rgba[:, :3] = 1, 0.5
    opaque = [augment(rgba, level, 0.01, generator(0)) for level in (0.0, 1.0)]
    inner = (slice(None), slice(None), slice(8, -8), slice(8, -8))
    assert torch.allclose(opaque[0][inner], opaque[1][inner], atol=1e-5)
    rgba[:] = 0
    empty = augment(rgba, 1.0, 0.5, generator(0))
    assert (empty.mean((2, 3)) > 1 - 30 / 255 - 0.03).all()


def test_blur_of_a_point_is_its_gaussian_and_keeps_the_sum():
    images = torch.zeros(3, 1, 21, 21)
    images[:, :, 10, 10] = 1
    sigma = torch.tensor([1.0, 0.0, 2.0])
    blurred = blur(images.clone(), sigma, 6)
    assert blurred.sum((1, 2, 3)) == pytest.approx(torch.ones(3), abs=1e-5)
    assert torch.equal(blurred[1], images[1])
    ratio = blurred[0, 0, 10, 11] / blurred[0, 0, 10, 10]
    assert ratio.item() == pytest.approx(0.6065, abs=1e-3)  # exp(-1/2)
    assert blurred[2, 0, 8, 10] == pytest.approx(blurred[2, 0, 10, 12].item(), rel=1e-5)
    assert (blurred[2, 0, 8, 10] / blurred[2, 0, 10, 10]).item() == pytest.approx(0.6065, abs=1e-3)


def test_cutout_fills_its_box_with_background_or_mean():
    images = torch.rand(2, 3, 10, 10, generator=torch.Generator().manual_seed(0))
    values = jitter(
        2,
        box=torch.tensor([[2.0, 5.0, 1.0, 4.0]] * 2),
        background=torch.full((2, 3), 0.9),
        fill_mean=torch.tensor([False, True]),
    )
    cut = cut_out(images, values)
    assert (cut[0, :, 2:5, 1:4] == 0.9).all()
    mean = images[1].mean((1, 2))
    assert torch.allclose(cut[1, :, 2:5, 1:4], mean[:, None, None].expand(-1, 3, 3))
    outside = torch.ones(10, 10, dtype=torch.bool)
    outside[2:5, 1:4] = False
    assert torch.equal(cut[:, :, outside], images[:, :, outside])


def test_zoom_and_shift_move_the_object_as_said():
    rgba = torch.zeros(1, 4, 40, 40)
    rgba[:, :, 18:22, 18:22] = 1
    values = drawn(batch=1)
    affine = torch.tensor([[[1.0, 0, -2 * 0.25], [0, 1.0, 0]]])  # a quarter of the side right
    moved = zoom(rgba, affine)
    assert torch.allclose(moved[:, :, 18:22, 28:32], torch.ones(1, 4, 4, 4), atol=1e-5)
    assert values.affine.shape == (1, 2, 3)
