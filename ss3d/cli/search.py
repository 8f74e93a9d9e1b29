"""`ss3d search`, and what every command that runs a search shows of it."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from ss3d.cli.live_table import LiveTable
from ss3d.cli.opening import DATA, HomeOption, StoreOption
from ss3d.cli.options import AddressOption, SlotsOption
from ss3d.cli.output import JsonFlag, console, emit, errors
from ss3d.errors import ConfigError, OutcomeError, RefusedError
from ss3d.settings import Settings, load_settings

if TYPE_CHECKING:
    from ss3d.study.definition import Request
    from ss3d.study.driver import Started
    from ss3d.study.exporter import Metrics
    from ss3d.study.live import Snapshot

_LEAVING_S = 3.0
"""How long an interrupted search still writes to MLflow; `ss3d sync` writes the rest."""


def search(
    space: Annotated[
        Path | None, typer.Argument(help="Search space; not needed to resume.")
    ] = None,
    data: Annotated[str | None, typer.Option(help=DATA)] = None,
    name: Annotated[str | None, typer.Option(help="Of the study; default: the space's.")] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Number of trials.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the study.")] = None,
    slots: SlotsOption = None,
    warm_from: Annotated[
        list[str] | None,
        typer.Option(metavar="STUDY", help="Learn from its trials as well; may be repeated."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the study if there is one.")
    ] = False,
    address: AddressOption = None,
    submit: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Cluster whose head drives the study: http://HEAD:8265."),
    ] = None,
    shared: Annotated[
        bool, typer.Option("--shared", help="With --submit: directories are those of all nodes.")
    ] = False,
    metrics: Annotated[
        str | None,
        typer.Option(metavar="[HOST:]PORT", help="Serve metrics for Prometheus; on loopback."),
    ] = None,
    home: HomeOption = None,
    store: StoreOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Search for the best parameters; Ctrl-C leaves a study that --resume goes on with.

    With --submit the driver runs on a cluster's head, with the code from here, and
    Ctrl-C only stops looking: `ss3d logs`, `ss3d stop`, and --resume with --submit
    find it again. Store and data are s3://…; secrets, MLflow and SS3D_HOME are
    those of the head. Ends with the driver's exit code, with 4 if no job server
    answers, with 5 without the cluster's token.

    Examples:
      ss3d search search_spaces/quickstart.toml --data data/demo --trials 12
      ss3d search search_spaces/small.toml --data data/demo --warm-from earlier
      ss3d search a.toml --data s3://b/data --submit http://127.0.0.1:8265
      ss3d search --name paper --resume --submit http://127.0.0.1:8265
    """
    from ss3d.study.definition import Request

    settings = load_settings(home=home, store=store, ray_address=address)
    request = Request(
        space=space,
        data=data,
        name=name,
        trials=trials,
        seed=seed,
        slots=slots,
        resume=resume,
        warm_from=tuple(warm_from or ()),
    )
    if submit:
        from ss3d.cli.submit import say_outcome, submit_search

        if address:
            raise ConfigError("--submit: the head joins its own cluster; leave out --address")
        say_outcome(*submit_search(request, settings, submit, shared, metrics), as_json)
        return
    study, snapshot = run_shown(request, settings, metrics)
    emit(_summary(study, snapshot), as_json, lambda: _say_end(study, snapshot))
    check_outcome(study, snapshot)


def run_shown(
    request: Request, settings: Settings, metrics_at: str | None = None
) -> tuple[str, Snapshot]:
    """Run a search with its table and MLflow; return the study's name and how it ended.

    Args:
        request: what to search.
        settings: where everything is.
        metrics_at: where Prometheus may ask, `PORT` or `HOST:PORT`; None lets nobody ask.

    Raises:
        ConfigError: `metrics_at` is no address.
        RefusedError: its port is taken.
        KeyboardInterrupt: it was interrupted; how to go on is said.
    """
    from ss3d.cli.importance import known_importances
    from ss3d.store.opening import open_store
    from ss3d.study.driver import Watcher
    from ss3d.study.driver import search as run_search
    from ss3d.study.exporter import Exporter, Metrics
    from ss3d.study.spool import spool_root, waiting_in
    from ss3d.tracking.projector import Projector

    store = open_store(settings.store_address)
    projector = Projector(settings, store, known_importances)
    spool = spool_root(settings.cache_dir, store.address)
    metrics = Metrics(lambda: projector.lag, lambda: waiting_in(spool))
    shown = _Shown(metrics)
    try:
        with Exporter(metrics_at, metrics) if metrics_at else nullcontext():
            watcher = Watcher(on_start=shown.start, on_update=shown.update)
            snapshot = run_search(request, settings, projector, watcher)
            shown.close()
            projector.close()
    except KeyboardInterrupt:
        shown.say_how_to_resume()
        raise
    finally:
        shown.close()
        projector.close(_LEAVING_S)
    return shown.study, snapshot


def check_outcome(study: str, snapshot: Snapshot) -> None:
    """Raise what a search that ended badly ends with.

    Raises:
        OutcomeError: trials failed.
        RefusedError: the budget let none start.
    """
    from ss3d.study.live import num_ended, why_ended

    if failed := snapshot.counts.get("failed", 0):
        raise OutcomeError(
            f"{failed} of {snapshot.target} trials failed; `ss3d trials {study}` says why"
        )
    if not num_ended(snapshot):
        raise RefusedError(
            f"study {study}: the budget allows no trial: {why_ended(snapshot)}; raise [budget] in "
            "the search space and start under another --name"
        )


class _Shown:
    """What the user sees of a search, from its beginning on."""

    def __init__(self, metrics: Metrics) -> None:
        self.study = ""
        self._metrics = metrics
        self._table: LiveTable | None = None

    def start(self, started: Started) -> None:
        study = started.study
        self.study = self._metrics.study = study.name
        for note in study.notes:
            errors.print(Text(f"note: {note}", style="yellow"))
        if started.num_finished or started.num_live:
            errors.print(
                f"study {study.name}: {started.num_finished} trials finished in the store, "
                f"{started.num_told} told in Optuna, {started.num_live} go on, "
                f"{started.num_committed} committed now"
            )
        self._table = LiveTable(errors, study.name, study.space.objective.metric)
        self._table.__enter__()

    def update(self, snapshot: Snapshot) -> None:
        self._metrics.snapshot = snapshot
        if self._table:
            self._table.update(snapshot)

    def say_how_to_resume(self) -> None:
        self.close()
        if self.study:
            errors.print(f"interrupted; `ss3d search --name {self.study} --resume` goes on")

    def close(self) -> None:
        if self._table:
            self._table.__exit__(None, None, None)
            self._table = None


def _summary(study: str, snapshot: Snapshot) -> dict[str, Any]:
    from ss3d.study.live import why_ended

    return {
        "study": study,
        "counts": {
            state: snapshot.counts.get(state, 0)
            for state in ("complete", "pruned", "failed", "running")
        },
        "best": [
            {"trial": best.trial, "value": best.value, "stratum": best.stratum}
            | ({} if best.num_front is None else {"front_size": best.num_front})
            for best in snapshot.best
        ],
        "seconds": snapshot.seconds,
        "ended": why_ended(snapshot),
        "left": snapshot.left,
    }


def _say_end(study: str, snapshot: Snapshot) -> None:
    from ss3d.study.live import why_ended

    for best in snapshot.best:
        where = "".join(f" {path}={value}" for path, value in best.stratum.items())
        others = "" if best.num_front is None else f", one of {best.num_front} on its front"
        console.print(f"best{where}: {study}/{best.trial} {best.value:.3f}{others}")
    ended = why_ended(snapshot)
    console.print(Text(f"ended: {ended}{f' · {snapshot.left}' if snapshot.left else ''}"))
    console.print(f"next: ss3d trials {study} · ss3d promote {study} --model NAME · ss3d ui")
