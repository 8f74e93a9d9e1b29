"""A contact sheet: images of a data set with their clouds beside them."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
from PIL import Image, ImageDraw

from ss3d.data.clouds import unit_ball
from ss3d.data.dataset import Dataset
from ss3d.data.images import decode_rgba, resize_rgba, without_alpha
from ss3d.data.items import ModelItem
from ss3d.data.render import view_axes

CELL = 96
"""Side of an image or cloud on the sheet, in pixels."""
CAPTION = 14
COLUMNS = 6
ROWS = 8
AZIMUTH, ELEVATION = 30.0, 27.5
"""Degrees a cloud is seen from if the camera of its image is not known."""


def draw_sheet(dataset: Dataset) -> Image.Image:
    """Draw the first page: view 00 and cloud of models spread over the categories.

    Raises:
        DataError: a shard is damaged.
    """
    items = _pick(dataset, COLUMNS * ROWS)
    rows = math.ceil(len(items) / COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * 2 * CELL, rows * (CELL + CAPTION)), "white")
    pen = ImageDraw.Draw(sheet)
    for place, item in enumerate(items):
        left = place % COLUMNS * 2 * CELL
        top = place // COLUMNS * (CELL + CAPTION)
        opaque = dataset.manifest.alpha == "mask"
        image = without_alpha(item.images[0], item.key) if opaque else item.images[0]
        pixels = resize_rgba(decode_rgba(image, item.key), CELL)
        picture = Image.fromarray(pixels)
        sheet.paste(picture, (left, top + CAPTION), picture)
        sheet.paste(_draw_cloud(item), (left + CELL, top + CAPTION))
        name = dataset.manifest.categories[item.category]
        pen.text((left + 3, top + 1), f"{name} {item.model_id}"[:30], fill="black")
    return sheet


def _pick(dataset: Dataset, count: int) -> list[ModelItem]:
    """Return models by turns of the categories, as many of each as there is room for."""
    share = max(1, count // len(dataset.manifest.categories))
    kept: dict[str, list[ModelItem]] = defaultdict(list)
    spare: list[ModelItem] = []
    for item in dataset.models():
        group = kept[item.category] if len(kept[item.category]) < share else spare
        if len(group) < count:
            group.append(item)
    picked = [item for group in kept.values() for item in group]
    picked = (picked + spare)[:count]
    return sorted(picked, key=lambda item: item.key)


def _draw_cloud(item: ModelItem) -> Image.Image:
    """Draw a cloud from the camera of its first view, nearer points darker."""
    azimuth, elevation = (
        (AZIMUTH, ELEVATION) if item.camera is None else map(float, item.camera[0, :2])
    )
    points = unit_ball(item.cloud) @ view_axes(azimuth, elevation).T
    points = points[np.argsort(points[:, 2])]  # far first
    places = ((points[:, :2] * (0.5, -0.5) + 0.5) * (CELL - 3) + 1).astype(int)
    shades = (190 - 80 * (points[:, 2] + 1)).astype(np.uint8)
    canvas = np.full((CELL, CELL), 255, np.uint8)
    canvas[places[:, 1], places[:, 0]] = shades
    return Image.fromarray(canvas).convert("RGB")
