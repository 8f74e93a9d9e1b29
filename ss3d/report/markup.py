"""HTML as text: the few elements that a page is made of, everything escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Markup:
    """Text that is HTML already."""

    text: str

    def __str__(self) -> str:
        return self.text


Content = str | Markup
"""What an element holds; plain text is escaped."""


def join(parts: Iterable[Content], separator: str = "") -> Markup:
    """Return parts one after another."""
    return Markup(separator.join(_escaped(part) for part in parts))


def element(tag: str, *content: Content, **attributes: str) -> Markup:
    """Return an element.

    Args:
        tag: its name.
        content: plain text or markup.
        attributes: by name; `class_` is `class`, and `_` stands for `-`.
    """
    words = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{html.escape(value)}"'
        for name, value in attributes.items()
    )
    return Markup(f"<{tag}{words}>{join(content)}</{tag}>")


def section(title: str, anchor: str, *content: Content) -> Markup:
    """Return a section of the page under a heading."""
    heading = element("h2", title, id=anchor)
    return element("section", heading, *content, aria_labelledby=anchor)


def table(
    caption: str, headings: Sequence[Content], rows: Iterable[Sequence[Content]], numbers: int = 0
) -> Markup:
    """Return a table that scrolls by itself where it is too wide.

    Args:
        caption: what it shows.
        headings: of the columns.
        rows: cells; the first of a row is its heading.
        numbers: so many of the first columns are text, the others numbers; 0 makes all text.
    """

    def kind(place: int) -> str:
        return "number" if 0 < numbers <= place else "text"

    head = join(
        element("th", text, scope="col", class_=kind(place)) for place, text in enumerate(headings)
    )
    body = [
        element(
            "tr",
            element("th", row[0], scope="row", class_=kind(0)),
            *(element("td", cell, class_=kind(n)) for n, cell in enumerate(row[1:], start=1)),
        )
        for row in rows
    ]
    whole = element(
        "table",
        element("caption", caption),
        element("thead", element("tr", head)),
        element("tbody", *body),
    )
    return element("div", whole, class_="wide", tabindex="0", role="region", aria_label=caption)


def pairs(items: Iterable[tuple[str, Content]]) -> Markup:
    """Return a list of names and what they stand for."""
    lines = (element("div", element("dt", name), element("dd", text)) for name, text in items)
    return element("dl", *lines)


def picture(source: str, alt: str) -> Markup:
    """Return an image that the page holds itself, in a data URI."""
    return Markup(f'<img alt="{html.escape(alt)}" src="{source}" loading="lazy">')


def details(summary: str, *content: Content) -> Markup:
    """Return what opens on demand."""
    return element("details", element("summary", summary), *content)


def _escaped(content: Content) -> str:
    return content.text if isinstance(content, Markup) else html.escape(content)
