import pytest
import torch

from ss3d.data.randomness import generator
from ss3d.data.views import (
    MEAN,
    STD,
    ViewSpec,
    cached_side,
    eval_view,
    mirror,
    normalize,
    preview_image,
    strong_view,
    weak_view,
)

VIEW = ViewSpec(side=69, image_size=64, crop=127 / 137, background=1.0)


def noise(batch=6, side=69, seed=0):
    random = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (batch, side, side, 4), dtype=torch.uint8, generator=random)


def test_half_transparent_pixel_over_gray():
    """alpha 102/255 = 0.4 of color 0.2, 0.4, 0.6 over 0.5: 0.38, 0.46, 0.54."""
    rgba = torch.tensor([51, 102, 153, 102], dtype=torch.uint8).expand(2, 8, 8, 4)
    view = ViewSpec(side=8, image_size=8, crop=1.0, background=0.5)
    colors = torch.tensor([0.38, 0.46, 0.54])
    assert preview_image(rgba, view)[1, :, 3, 5] == pytest.approx(colors)
    expected = (colors - torch.tensor(MEAN)) / torch.tensor(STD)
    assert eval_view(rgba, view)[0, :, 0, 0] == pytest.approx(expected, abs=1e-6)


def test_transparent_pixels_show_the_background_alone_at_every_size():
    rgba = noise(side=137)
    rgba[:, :, :, 3] = 0
    for size in (64, 127, 224):
        view = ViewSpec(side=137, image_size=size, crop=127 / 137, background=0.25)
        images = preview_image(rgba, view)
        assert images.shape == (6, 3, size, size)
        assert torch.allclose(images, torch.tensor(0.25), atol=1e-6)


@pytest.mark.parametrize(
    ("native", "size", "crop", "side"),
    [
        (137, 224, 127 / 137, 137),
        (137, 64, 127 / 137, 69),
        (64, 64, 127 / 137, 64),
        (64, 64, 1, 64),
    ],
)
def test_cached_side_is_what_the_crop_needs(native, size, crop, side):
    assert cached_side(native, size, crop) == side


def test_crop_at_the_cached_side_needs_no_resize():
    assert VIEW.crop_side == 64
    rgba = noise()
    rgba[..., 3] = 255
    center = rgba[:, 2:66, 2:66, :3].permute(0, 3, 1, 2).float() / 255
    assert torch.equal(preview_image(rgba, VIEW), center)


def test_weak_view_is_a_crop_of_its_own_for_each_item():
    rgba = noise(1).expand(32, -1, -1, -1)
    weak = weak_view(rgba, VIEW, generator(0, "weak"))
    assert not weak.mirrored.any()
    whole = (rgba[0, :, :, 3].float() / 255).unfold(0, 64, 1).unfold(1, 64, 1)  # (6, 6, 64, 64)
    places = [(whole == one).all(-1).all(-1).nonzero().tolist() for one in weak.rgba[:, 3]]
    assert all(len(found) == 1 for found in places)
    assert len({tuple(found[0]) for found in places}) > 15
    assert torch.equal(weak.images, weak_view(rgba, VIEW, generator(0, "weak")).images)


def test_flip_mirrors_image_and_cloud_together():
    rgba = noise(64)
    view = ViewSpec(side=69, image_size=64, crop=127 / 137, background=1.0, flip=True)
    weak = weak_view(rgba, view, generator(0, "weak"))
    plain = weak_view(rgba, view.without_flip(), generator(0, "weak"))
    assert 16 < weak.mirrored.sum() < 48
    for item, mirrored in enumerate(weak.mirrored):
        expected = plain.images[item].flip(-1) if mirrored else plain.images[item]
        assert torch.equal(weak.images[item], expected)
    clouds = torch.rand(64, 5, 3)
    flipped = mirror(clouds, weak)
    assert torch.equal(flipped[weak.mirrored], clouds[weak.mirrored] * torch.tensor([-1.0, 1, 1]))
    assert torch.equal(flipped[~weak.mirrored], clouds[~weak.mirrored])
    assert torch.equal(mirror(clouds, plain), clouds)


def test_strength_zero_is_the_weak_view_bit_for_bit():
    weak = weak_view(noise(), VIEW, generator(0, "weak"))
    assert torch.equal(strong_view(weak, 0.0, generator(0, "strong")), weak.images)


def test_small_strength_is_a_small_change():
    """Gates of blur and cutout open with the strength, so nothing jumps at 0."""
    weak = weak_view(noise(64), VIEW, generator(0, "weak"))
    changes = [
        (strong_view(weak, strength, generator(0, "strong")) - weak.images).abs().mean().item()
        for strength in (1e-4, 0.1, 1.0)
    ]
    assert changes[0] < 0.05 < changes[1] < changes[2]


def test_strong_views_are_functions_of_the_key_and_stay_in_range():
    weak = weak_view(noise(), VIEW, generator(0, "weak"))
    first, again, other = (
        strong_view(weak, 1.0, generator(0, "strong", branch)) for branch in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    low, high = normalize(torch.zeros(1, 3, 1, 1)), normalize(torch.ones(1, 3, 1, 1))
    assert (first >= low - 1e-6).all()
    assert (first <= high + 1e-6).all()


def test_views_do_not_touch_their_input():
    rgba = noise()
    before = rgba.clone()
    weak = weak_view(rgba, VIEW, generator(0))
    kept = weak.rgba.clone()
    strong_view(weak, 1.0, generator(1))
    assert torch.equal(rgba, before)
    assert torch.equal(weak.rgba, kept)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_gpu_shows_the_same_views():
    rgba = noise()
    weak = weak_view(rgba, VIEW, generator(0, "weak"))
    there = weak_view(rgba.cuda(), VIEW, generator(0, "weak"))
    assert torch.allclose(weak.images, there.images.cpu(), atol=1e-5)
    assert torch.allclose(eval_view(rgba, VIEW), eval_view(rgba.cuda(), VIEW).cpu(), atol=1e-5)
    strong = strong_view(there, 0.8, generator(0, "strong"))
    assert strong.is_cuda
    here = strong_view(weak, 0.8, generator(0, "strong"))  # other noise, same everything else
    assert (strong.cpu() - here).abs().mean() < 0.6
