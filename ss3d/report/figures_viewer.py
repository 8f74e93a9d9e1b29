"""A sheet as one HTML file without a network: every panel turns with the mouse."""

from __future__ import annotations

import base64
import html
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from ss3d.report.clouds import Array
from ss3d.report.figures_balls import Frame, ball_radius
from ss3d.report.figures_page import PAGE
from ss3d.report.figures_paper import distance_colors
from ss3d.report.figures_sheet import Panel, Sheet

_STEPS = 8192
"""Coordinates are stored in 16 bits: so many steps per object unit."""


def write_viewer(path: Path, sheet: Sheet) -> None:
    """Write a page that holds everything it shows and asks no server.

    Args:
        path: ends in `.html`; its folder is made.
        sheet: what to show.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(viewer_page(sheet), encoding="utf-8")


def viewer_page(sheet: Sheet) -> str:
    """Return the page of a sheet."""
    data = {
        "columns": sheet.columns,
        "rows": sheet.rows,
        "panels": [[_panel(panel, sheet) for panel in row] for row in sheet.panels],
        "frame": _frame(sheet.frame),
        "reach": sheet.reach,
        "scale": _scale(sheet.reach),
        "steps": _STEPS,
    }
    is_measured = any(panel.caption for row in sheet.panels for panel in row)
    words = {
        "TITLE": html.escape(sheet.title),
        "NOTE": html.escape(sheet.note),
        "NUMBERS": "; numbers are cd_l1" if is_measured else "",
    }
    page = PAGE.replace("__DATA__", json.dumps(data).replace("</", "<\\/"))
    for name, text in words.items():
        page = page.replace(f"__{name}__", text)
    return page


def png_uri(image: Array) -> str:
    """Return (H, W, 3) in [0, 1] as a PNG in a data URI."""
    from PIL import Image

    buffer = io.BytesIO()
    pixels = np.rint(np.clip(image[..., :3], 0, 1) * 255).astype(np.uint8)
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _panel(panel: Panel, sheet: Sheet) -> dict[str, Any]:
    content: dict[str, Any] = {"caption": panel.caption}
    if panel.image is not None:
        content["image"] = png_uri(panel.image)
    if panel.cloud is not None:
        content["points"] = _pack(np.rint(panel.cloud * _STEPS).astype("<i2"))
        content["radius"] = ball_radius(len(panel.cloud))
        content["color"] = [round(255 * part) for part in panel.color]
        if panel.distances is not None and sheet.reach is not None:
            share = np.clip(100 * panel.distances / sheet.reach, 0, 1)
            content["levels"] = _pack(np.rint(31 * share).astype("u1"))
    if panel.frame is not None:
        content["frame"] = _frame(panel.frame)
    return content


def _frame(frame: Frame) -> dict[str, Any]:
    return {
        "azimuth": frame.azimuth,
        "elevation": frame.elevation,
        "width": frame.half_width,
        "height": frame.half_height,
        "focus": frame.focus,
    }


def _scale(reach: float | None) -> list[list[int]]:
    """Return the 32 colors of the distance scale, if there is one."""
    if reach is None:
        return []
    colors = distance_colors(np.linspace(0, reach / 100, 32, dtype=np.float32), reach)
    return [[int(part) for part in np.rint(255 * color)] for color in colors]


def _pack(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
