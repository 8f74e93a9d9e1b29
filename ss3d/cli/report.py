"""`ss3d report`: a study as one page that opens offline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ss3d.cli.opening import HomeOption, StoreOption
from ss3d.cli.options import StudyArgument
from ss3d.cli.output import JsonFlag, console, emit, errors
from ss3d.errors import ConfigError
from ss3d.settings import load_settings
from ss3d.store import layout
from ss3d.store.opening import open_store

if TYPE_CHECKING:
    from ss3d.report.findings import Known
    from ss3d.store.protocol import Store
    from ss3d.trial.records import StudyRecord


def report(
    study: StudyArgument,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Page; default STUDY.html, none by --json."),
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(help="Folder for the figures as PNG as well.")
    ] = None,
    home: HomeOption = None,
    store: StoreOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Write a study as one page: question, answer, tables, figures, pictures, cost, lineage.

    The page holds all it shows and asks no server: mail it, print it, open it on
    a phone. A study that runs is shown as far as it got.

    Examples:
      ss3d report quickstart -o report.html
      ss3d report paper -o paper.html --figures figures/
      ss3d report paper --json
    """
    from ss3d.report.findings import gather_findings
    from ss3d.report.findings_values import findings_as_values
    from ss3d.report.study_page import write_report
    from ss3d.trial.history import load_study_record

    page = output or (None if as_json else Path(f"{study}.html"))
    if page is not None and page.suffix != ".html":
        raise ConfigError(f"--output: got {page.name!r}, expected .html")
    opened = open_store(load_settings(home=home, store=store).store_address)
    record = load_study_record(opened, layout.check_study_name(study))
    with errors.status("reading the study …"):
        findings = gather_findings(opened, record, _known(opened, record))
    if page is not None:
        with errors.status("drawing …"):
            write_report(page, findings, figures)
    value = {**findings_as_values(findings), "page": None if page is None else str(page)}

    def say() -> None:
        for note in findings.notes:
            console.print(f"– {note}", highlight=False, markup=False)
        console.print(f"written: {page}", highlight=False, soft_wrap=True)

    emit(value, as_json, say)


def _known(store: Store, record: StudyRecord) -> Known:
    """Return what `study` knows of it: which parameters decided, what its sessions trained."""
    from ss3d.cli.importance import known_importances
    from ss3d.report.findings import Known
    from ss3d.study.sessions import read_past

    return Known(known_importances(record), read_past(store, record.name).shared)
