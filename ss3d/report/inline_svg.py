"""A figure as an SVG inside a page: the page's colors and fonts, hints at its points."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from xml.etree.ElementTree import Element, SubElement

from ss3d.report.figure_style import COLORS, INK, LINE, PALE, PAPER, StudyFigure

_SVG, _LINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_DROPPED = ("metadata", "style")
THEMED = {INK: "--ink", PALE: "--pale", LINE: "--line", PAPER: "--paper"} | {
    color: f"--color-{place}" for place, color in enumerate(COLORS)
}
"""CSS variables by the colors that they stand for on white."""


def inline_svg(shown: StudyFigure) -> str:
    """Return the figure's `<svg>`; call within `figure_style.style`."""
    buffer = io.StringIO()
    shown.figure.savefig(
        buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None}
    )
    root = ElementTree.fromstring(buffer.getvalue())
    for parent in list(root.iter()):
        for child in [c for c in parent if c.tag.rpartition("}")[2] in _DROPPED]:
            parent.remove(child)
    _add_hints(root, shown.hints)
    for element in root.iter():
        _make_own(element, shown.name)
    for name in ("width", "height"):
        del root.attrib[name]
    root.attrib |= {"role": "img", "aria-label": f"{shown.title}. {shown.says}"}
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _LINK)
    return ElementTree.tostring(root, encoding="unicode")


def _add_hints(root: Element, hints: dict[str, list[str]]) -> None:
    """Give each point of a group the title that a browser shows over it."""
    groups = {element.get("id"): element for element in root.iter()}
    for name, texts in hints.items():
        points = list(_points(groups[name])) if name in groups else []
        for point, text in zip(points, texts, strict=False):  # pixels have no points
            SubElement(point, f"{{{_SVG}}}title").text = text


def _points(group: Element) -> Iterator[Element]:
    """Yield the points that a scatter plot drew, in its order."""
    for child in group:
        if child.tag == f"{{{_SVG}}}defs":
            continue
        if child.tag in (f"{{{_SVG}}}use", f"{{{_SVG}}}path"):
            yield child
        else:
            yield from _points(child)


def _make_own(element: Element, name: str) -> None:
    """Make ids unique in a page with several figures, and colors those of the page."""
    for key, value in element.attrib.items():
        if key == "id":
            element.attrib[key] = f"{name}-{value}"
        elif key == f"{{{_LINK}}}href" and value.startswith("#"):
            element.attrib[key] = f"#{name}-{value[1:]}"
        else:
            themed = value.replace("url(#", f"url(#{name}-")
            for color, variable in THEMED.items():
                themed = themed.replace(color, f"var({variable})")
            element.attrib[key] = themed
