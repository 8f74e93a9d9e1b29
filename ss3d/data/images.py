"""PNG bytes to RGBA pixels and back; resizing that never shows the color of transparent pixels."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from ss3d.errors import DataError

MAX_PIXELS = 64 * 2**20
"""A larger image is refused: a small file can hold a bomb."""
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "TGA")
"""Formats that are read."""


def decode_rgba(data: bytes, name: str, upright: bool = False) -> NDArray[np.uint8]:
    """Return the pixels of an image file; what has no alpha is opaque.

    Args:
        data: bytes of the file.
        name: what to call it in an error.
        upright: turn it as its EXIF data say.

    Returns:
        (height, width, 4) uint8, alpha not multiplied in.

    Raises:
        DataError: the bytes are not a complete image.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            check_header(image, name)
            turned = ImageOps.exif_transpose(image) if upright else image
            return np.asarray(turned.convert("RGBA"))
    except UnidentifiedImageError as error:  # its own text is about a buffer of ours
        raise DataError(
            f"{name}: not a readable image: got {len(data)} bytes of no format that is read, "
            f"expected {', '.join(FORMATS)}"
        ) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{name}: not a readable image: {error}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"{name}: too large an image: {error}") from error


def check_header(image: Image.Image, name: str) -> None:
    """Look at an image's header, before it is decoded.

    Raises:
        DataError: it has more than `MAX_PIXELS` pixels, or a format that runs other programs.
    """
    if image.format not in (*FORMATS, None):  # None was not read from a file
        raise DataError(f"{name}: got a {image.format} image, expected {', '.join(FORMATS)}")
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise DataError(f"{name}: too large an image: {width}x{height} pixels")


def is_image(data: bytes) -> bool:
    """Tell by its header whether this is an image file."""
    try:
        with Image.open(io.BytesIO(data)):
            return True
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
        return False
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return True


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Return (height, width, 4) uint8 pixels as the bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels, "RGBA").save(buffer, format="PNG", compress_level=6)
    return buffer.getvalue()


def without_alpha(data: bytes, name: str) -> bytes:
    """Return an image file as a PNG that shows the colors of transparent pixels too.

    Raises:
        DataError: the bytes are not a complete image.
    """
    pixels = decode_rgba(data, name).copy()
    pixels[..., 3] = 255
    return encode_png(pixels)


def resize_rgba(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Resize to a square with antialiasing, in premultiplied alpha (mode `RGBa` of Pillow).

    Args:
        pixels: (height, width, 4) uint8, alpha not multiplied in.
        side: of the result, in pixels.

    Returns:
        (side, side, 4) uint8, alpha not multiplied in.
    """
    if pixels.shape[:2] == (side, side):
        return pixels
    premultiplied = Image.fromarray(pixels, "RGBA").convert("RGBa")
    resized = premultiplied.resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(resized.convert("RGBA"))


def resize_photo(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Resize a photo to a square with antialiasing, its mask apart from its colors.

    Args:
        pixels: (height, width, 4) uint8; colors are real also where alpha is 0.
        side: of the result, in pixels.

    Returns:
        (side, side, 4) uint8, alpha not multiplied in.
    """
    if pixels.shape[:2] == (side, side):
        return pixels
    bands = Image.fromarray(pixels, "RGBA").split()
    resized = [band.resize((side, side), Image.Resampling.BILINEAR) for band in bands]
    return np.stack([np.asarray(band) for band in resized], axis=-1)
