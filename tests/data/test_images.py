import numpy as np
import pytest

from ss3d.data import images
from ss3d.data.images import decode_rgba, encode_png, resize_photo, resize_rgba, without_alpha
from ss3d.errors import DataError


def test_png_round_trip_keeps_every_byte():
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 4), dtype=np.uint8)
    assert np.array_equal(decode_rgba(encode_png(pixels), "x"), pixels)


@pytest.mark.parametrize(
    "damage", [lambda d: d[: len(d) // 2], lambda d: b"no image", lambda d: b""]
)
def test_damaged_bytes_are_named(damage):
    data = encode_png(np.full((32, 32, 4), 100, np.uint8))
    with pytest.raises(DataError, match="chair/a view 03"):
        decode_rgba(damage(data), "chair/a view 03")


def test_hidden_color_of_transparent_pixels_does_not_bleed():
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[:, :32] = (0, 0, 255, 255)
    pixels[:, 32:] = (255, 0, 0, 0)  # red, but invisible
    small = resize_rgba(pixels, 23)
    visible = small[..., 3] > 0
    assert visible.mean() == pytest.approx(0.5, abs=0.05)
    assert (small[visible][:, 0] == 0).all()
    assert (small[visible][:, 2] >= 250).all()


def test_same_side_is_left_alone():
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 4), dtype=np.uint8)
    assert resize_rgba(pixels, 8) is pixels


def test_too_many_pixels_are_refused_before_they_are_decoded(monkeypatch):
    data = encode_png(np.zeros((4, 5, 4), np.uint8))
    monkeypatch.setattr(images, "MAX_PIXELS", 19)
    with pytest.raises(DataError, match="photo: too large an image: 5x4 pixels"):
        decode_rgba(data[:60], "photo")


def test_formats_that_run_other_programs_are_refused():
    with pytest.raises(DataError, match="photo: got a EPS image, expected PNG"):
        decode_rgba(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "photo")


def test_photos_are_resized_apart_from_their_masks():
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[..., 0], pixels[:4, :, 3] = 90, 255
    small = resize_photo(pixels, 4)
    assert (small[..., 0] == 90).all()
    assert small[0, 0, 3] == 255
    assert small[3, 0, 3] == 0
    opaque = decode_rgba(without_alpha(encode_png(pixels), "photo"), "photo")
    assert np.unique(opaque.reshape(-1, 4), axis=0).tolist() == [[90, 0, 0, 255]]
