"""The `ss3d` command: builds the tree of commands and turns errors into exit codes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import typer
from rich.text import Text

from ss3d.cli import (
    bench,
    cluster,
    compare,
    confirm,
    cost,
    data,
    doctor,
    enqueue,
    evaluate,
    figure,
    gains,
    gc,
    importance,
    inspection,
    lifecycle,
    logs,
    model,
    predict,
    pretrains,
    promotion,
    registry,
    removal,
    report,
    rerun,
    search,
    simulate,
    stop,
    study,
    trial,
    validate,
    weights,
)
from ss3d.cli.help_texts import let_flow
from ss3d.cli.output import errors
from ss3d.errors import ServiceError, Ss3dError

_HELP = """Search, browse, promote and rerun SS3D trials.

Examples:
  ss3d data prepare procedural shapes
  ss3d search search_spaces/quickstart.toml --data shapes
  ss3d trials quickstart
  ss3d promote quickstart --model shapes

Exit codes: 2 usage or configuration, 3 bad data, 4 a service is away, 5 refused, 6 done with a bad
outcome, 130 interrupted.
"""
_PANELS: dict[str, Sequence[Callable[..., None]]] = {
    "Search": (
        search.search,
        validate.validate,
        enqueue.enqueue,
        stop.stop,
        logs.logs,
        confirm.confirm,
        simulate.simulate,
    ),
    "Browse": (
        study.studies,
        study.status,
        study.trials,
        inspection.show,
        inspection.why,
        gains.gains,
        importance.importance,
        compare.compare,
        cost.cost,
        figure.figure,
        report.report,
        lifecycle.ui,
    ),
    "Promote and rerun": (
        promotion.promote,
        registry.rollback,
        registry.registry,
        rerun.rerun,
        evaluate.evaluate,
        predict.predict,
    ),
    "Data and single trials": (trial.train, trial.config),
    "Store and servers": (doctor.doctor, lifecycle.sync, gc.gc, removal.delete),
}
"""What a user looks for together, in the order of a study's life."""
_GROUPS = {
    "Promote and rerun": {"model": model},
    "Data and single trials": {"data": data, "weights": weights},
    "Store and servers": {"pretrains": pretrains, "cluster": cluster, "bench": bench},
}

app = typer.Typer(
    name="ss3d",
    help=_HELP,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
for panel, commands in _PANELS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)
    for name, group in _GROUPS.get(panel, {}).items():
        app.add_typer(group.app, name=name, rich_help_panel=panel)
let_flow(app)


def run() -> None:
    """Run the command line; exit with the code that errors.py documents."""
    try:
        app(standalone_mode=True)
    except Ss3dError as error:
        errors.print(Text(f"ss3d: {error}", style="red"), soft_wrap=True)
        sys.exit(error.exit_code)
    except OSError as error:
        told = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        errors.print(Text(f"ss3d: {told}", style="red"), soft_wrap=True)
        sys.exit(ServiceError.exit_code)
