"""The `ss3d` command: builds the tree of commands and turns errors into exit codes."""

from __future__ import annotations

import sys

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

app = typer.Typer(
    name="ss3d",
    help="Search, browse, promote and rerun SS3D trials.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.add_typer(bench.app, name="bench")
app.add_typer(cluster.app, name="cluster")
app.add_typer(data.app, name="data")
app.add_typer(model.app, name="model")
app.add_typer(pretrains.app, name="pretrains")
app.add_typer(search.app)
app.add_typer(study.app)
app.add_typer(weights.app, name="weights")
for command in (
    trial.train,
    trial.config,
    validate.validate,
    evaluate.evaluate,
    figure.figure,
    gains.gains,
    cost.cost,
    compare.compare,
    confirm.confirm,
    importance.importance,
    report.report,
    simulate.simulate,
    removal.delete,
    enqueue.enqueue,
    stop.stop,
    logs.logs,
    rerun.rerun,
    promotion.promote,
    registry.rollback,
    registry.registry,
    predict.predict,
    lifecycle.ui,
    lifecycle.sync,
    doctor.doctor,
    gc.gc,
):
    app.command()(command)
let_flow(app)


def run() -> None:
    """Run the command line; exit with the code that errors.py documents."""
    try:
        app(standalone_mode=True)
    except Ss3dError as error:
        errors.print(Text(f"ss3d: {error}", style="red"), soft_wrap=True)
        sys.exit(error.exit_code)
    except OSError as error:
        errors.print(Text(f"ss3d: {error}", style="red"), soft_wrap=True)
        sys.exit(ServiceError.exit_code)
