import base64
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ss3d.errors import DataError
from ss3d.tracking import image_input
from ss3d.tracking.image_input import read_pixels, split_input

RED = np.full((6, 4, 3), (200, 0, 0), dtype=np.uint8)

NOISE = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)


def encode(pixels: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (b"not an image", "image 0: not a readable image: got 12 bytes of no format .* PNG, JPEG"),
        (encode(NOISE)[:200], "image 0: not a readable image"),
        ("/nowhere/chair.png", "/nowhere/chair.png: cannot be read"),
        (np.zeros((4, 4, 2)), r"got shape \(4, 4, 2\)"),
        (np.zeros((0, 4, 3)), r"got shape \(0, 4, 3\)"),
        (np.full((4, 4, 3), 2.0), r"outside \[0, 1\]"),
        (np.full((4, 4, 3), np.nan), r"outside \[0, 1\]"),
        (np.full((4, 4, 3), 256), "got int64"),
        (3, "got int"),
        (np.zeros((1, 8193, 3), dtype=np.uint8), "8193x1 pixels, expected at most 8192 a side"),
    ],
)
def test_what_is_not_an_image_is_named(item: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_pixels(item, "image 0")


def test_a_large_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_input, "MAX_BYTES", 10)
    (tmp_path / "big.png").write_bytes(b"x" * 11)
    with pytest.raises(DataError, match=r"big\.png: too large an image: 11 bytes"):
        read_pixels(tmp_path / "big.png", "image 0")


def test_phones_turn_their_photos_by_exif() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    assert read_pixels(encode(RED, "JPEG", exif=exif), "photo").shape == (4, 6, 4)


def as_gray(inside: np.ndarray) -> object:
    return (inside * 255).astype(np.uint8)


def as_labels(inside: np.ndarray) -> object:
    return inside.astype(np.uint8)


def as_alpha(inside: np.ndarray) -> object:
    return np.dstack((np.zeros_like(RED), as_gray(inside)))


def as_bool(inside: np.ndarray) -> object:
    return inside


def as_base64(inside: np.ndarray) -> object:
    return base64.encodebytes(encode(as_gray(inside))).decode()


@pytest.mark.parametrize("form", [as_gray, as_labels, as_alpha, as_bool, as_base64])
def test_a_mask_becomes_the_alpha(form) -> None:
    inside = np.zeros((6, 4), dtype=bool)
    inside[2:5, 1:3] = True
    pixels = read_pixels(RED, "photo", form(inside))
    np.testing.assert_array_equal(pixels[..., :3], RED)
    np.testing.assert_array_equal(pixels[..., 3], np.where(inside, 255, 0))


def test_a_mask_must_fit() -> None:
    with pytest.raises(DataError, match="photo: got a mask of 9x6 pixels, expected 4x6"):
        read_pixels(RED, "photo", np.ones((6, 9)))
    with pytest.raises(DataError, match="photo: its mask is empty"):
        read_pixels(RED, "photo", np.zeros((6, 4)))
    with pytest.raises(DataError, match="photo: mask: not a readable image"):
        read_pixels(RED, "photo", b"no image")


def test_every_form_of_input_gives_images_with_masks() -> None:
    assert list(split_input("a.png")) == [("a.png", None)]
    assert list(split_input(["a.png", ("b.png", "m.png")])) == [
        ("a.png", None),
        ("b.png", "m.png"),
    ]
    assert len(list(split_input(np.zeros((3, 4, 4, 3))))) == 3
    images = pd.DataFrame({"photo": [b"a", b"b"]})
    assert list(split_input(images)) == [(b"a", None), (b"b", None)]
    table = pd.DataFrame({"mask": [b"m", b"", np.nan], "image": [b"a", b"b", b"c"]})
    assert list(split_input(table)) == [(b"a", b"m"), (b"b", None), (b"c", None)]
