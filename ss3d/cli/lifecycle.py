"""After the search: look at MLflow, write it again."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from ss3d.cli.opening import HomeOption, StoreOption
from ss3d.cli.output import JsonFlag, console, emit, errors
from ss3d.errors import CheckpointError
from ss3d.settings import Settings, load_settings

if TYPE_CHECKING:
    from ss3d.store.protocol import Store


def ui(
    study: Annotated[
        str | None, typer.Argument(help="Open at this study's runs.", show_default=False)
    ] = None,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="On loopback; 0 takes a free one.")
    ] = 5000,
    home: HomeOption = None,
    store: StoreOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Open MLflow's pages on the tracking store, also while a search runs; Ctrl-C ends them.

    Where MLflow is a server already, only say which of its pages to open.

    Examples:
      ss3d ui
      ss3d ui quickstart --port 0
    """
    from ss3d.tracking.connection import is_embedded, shown_address
    from ss3d.tracking.server import page_of, serve_pages
    from ss3d.trial.history import load_study_spec

    settings = load_settings(home=home, store=store)
    spec = None if study is None else load_study_spec(_store(settings), study)

    def say(address: str, pid: int | None, more: str = "") -> None:
        page = address if spec is None else page_of(settings, address, spec)
        value = {"url": page, "tracking": shown_address(settings), "pid": pid}
        emit(value, as_json, lambda: console.print(f"MLflow: {page}{more}", soft_wrap=True))

    if not is_embedded(settings):
        say(shown_address(settings), None)
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))  # so that the server ends with us
    if not as_json:
        console.print("starting MLflow …")
    with serve_pages(settings, port) as (address, process):
        say(address, process.pid, "   (Ctrl-C ends it)")
        process.wait()


def sync(
    study: Annotated[str, typer.Argument(help="Name of the study.")],
    home: HomeOption = None,
    store: StoreOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Bring MLflow up to date with the store: writes only what is missing.

    Damaged trials are named and the others written; the exit code is then 3.

    Examples:
      ss3d sync quickstart
    """
    from ss3d.cli.importance import known_importances
    from ss3d.tracking.resync import sync as write_again

    settings = load_settings(home=home, store=store)
    counts = write_again(_store(settings), settings, study, known_importances)

    def show() -> None:
        console.print(
            f"{study}: {counts['trials']} trials, {counts['shared']} pretrains and controls are "
            f"in MLflow; written now: {counts['runs']} runs, {counts['epochs']} epochs, "
            f"{counts['files']} files",
            highlight=False,
            soft_wrap=True,
        )

    emit(counts, as_json, show)
    for name, problem in counts["problems"].items():
        errors.print(Text(f"{name}: {problem}", style="yellow"), soft_wrap=True)
    if counts["problems"]:
        raise CheckpointError(f"{study}: {len(counts['problems'])} damaged; the rest is in MLflow")


def _store(settings: Settings) -> Store:
    from ss3d.store.opening import open_store

    return open_store(settings.store_address)
