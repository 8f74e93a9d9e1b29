"""A study as one page that opens offline: what was asked, what came out, how to go on."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ss3d.report.figure_style import StudyFigure, style
from ss3d.report.figures_balls import draw_balls
from ss3d.report.figures_sheet import Panel, Sheet
from ss3d.report.figures_viewer import png_uri, viewer_page
from ss3d.report.findings import Findings
from ss3d.report.inline_svg import inline_svg
from ss3d.report.leaderboard import date
from ss3d.report.markup import Content, Markup, details, element, join, picture, section, table
from ss3d.report.page_answer import answer, question
from ss3d.report.page_lineage import lineage, next_steps
from ss3d.report.page_style import PAGE
from ss3d.report.page_tables import confirmation, cost_table, gains, leaderboards
from ss3d.report.study_figures import study_figures

_PER_UNIT = 100
"""Pixels per object unit of a cloud's picture."""
_AFTER_COST = ("cost",)


def write_report(page: Path, findings: Findings, pictures: Path | None = None) -> None:
    """Write the page of a study.

    Args:
        page: ends in `.html`; its folder is made.
        findings: what it says.
        pictures: folder for the figures as PNG as well.
    """
    with style():
        figures = study_figures(findings)
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(study_page(findings, figures), encoding="utf-8")
        if pictures is not None:
            pictures.mkdir(parents=True, exist_ok=True)
            for shown in figures:
                shown.figure.savefig(pictures / f"{shown.name}.png")


def study_page(findings: Findings, figures: Sequence[StudyFigure]) -> str:
    """Return the page as HTML; call within `figure_style.style`."""
    sections = list(_sections(findings, figures))
    links = [
        element("a", title, href=f"#{anchor}")
        for anchor, title in _TITLES.items()
        if any(f'id="{anchor}"' in one.text for one in sections)
    ]
    body = join([_head(findings), element("nav", *links, aria_label="Sections"), *sections])
    title = html.escape(f"{findings.study.name} · ss3d")
    return PAGE.replace("__TITLE__", title).replace("__BODY__", body.text)


_TITLES = {
    "question": "Question",
    "answer": "Answer",
    "leaderboard": "Leaderboard",
    "gains": "Gains",
    "confirmation": "Confirmation",
    "figures": "Figures",
    "pictures": "Pictures",
    "cost-and-savings": "Cost",
    "lineage": "Lineage",
    "next": "Next",
}


def _head(findings: Findings) -> Markup:
    ends = [t.result.finished_at for t in findings.study.trials if t.result]
    until = f" · as of {date(max(ends))}" if ends else ""
    counts = ", ".join(f"{count} {state}" for state, count in sorted(findings.counts.items()))
    status = findings.ended or "not ended yet"
    notes = [element("li", note) for note in findings.notes]
    return element(
        "header",
        element("h1", findings.study.name),
        element("p", f"{counts or 'no trials'} · {status}{until}"),
        *([element("ul", *notes, class_="notes")] if notes else []),
    )


def _sections(findings: Findings, figures: Sequence[StudyFigure]) -> Iterator[Markup]:
    yield question(findings)
    yield answer(findings)
    yield leaderboards(findings)
    if findings.arms:
        yield gains(findings)
    if (confirmed := confirmation(findings)) is not None:
        yield confirmed
    if shown := [_figure(one) for one in figures if one.name not in _AFTER_COST]:
        yield section("Figures", "figures", element("div", *shown, class_="figures"))
    if findings.sheets:
        yield section("Pictures", "pictures", *map(_sheet, findings.sheets))
    costs = [_figure(one) for one in figures if one.name in _AFTER_COST]
    yield section(
        "Cost and savings",
        "cost-and-savings",
        *([element("div", *costs, class_="figures")] if costs else []),
        cost_table(findings),
    )
    yield lineage(findings)
    yield next_steps(findings)


def _figure(shown: StudyFigure) -> Markup:
    drawn = Markup(inline_svg(shown))
    return element("figure", element("h3", shown.title), drawn, element("figcaption", shown.says))


def _sheet(sheet: Sheet) -> Markup:
    """Return a sheet as pictures, and as clouds that turn on demand."""
    rows = [
        (name, *(_panel(panel, sheet, f"{name}: {column}") for panel, column in columns))
        for name, row in zip(sheet.rows, sheet.panels, strict=True)
        for columns in [list(zip(row, sheet.columns, strict=True))]
    ]
    viewer = element(
        "iframe",
        title=f"{sheet.title}: clouds that turn",
        srcdoc=viewer_page(sheet),
        loading="lazy",
        class_="viewer",
    )
    return element(
        "div",
        table(sheet.title, ("object", *sheet.columns), rows),
        element("p", f"Objects: {sheet.note}. Numbers are cd_l1.", class_="small"),
        details("Turn them", viewer),
        class_="sheet",
    )


def _panel(panel: Panel, sheet: Sheet, name: str) -> Content:
    if panel.image is not None:
        return picture(png_uri(panel.image), name)
    if panel.cloud is None:
        return panel.caption
    color = np.array(panel.color, dtype=np.float32)
    drawn = draw_balls(panel.cloud, color, panel.frame or sheet.frame, _PER_UNIT)
    alt = f"{name}, cd_l1 {panel.caption}" if panel.caption else name
    return join([picture(png_uri(drawn), alt), element("small", panel.caption)])
