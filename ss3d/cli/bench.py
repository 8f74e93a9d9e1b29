"""`ss3d bench`: the figures of the documentation, measured side by side in one run."""

from __future__ import annotations

import typer

from ss3d.cli import overheads, savings, scaling, throughput

app = typer.Typer(
    help="Measure what the documentation claims: every ratio comes from one run.",
    no_args_is_help=True,
)
app.command()(overheads.driver)
app.command()(overheads.overhead)
app.command()(savings.savings)
app.command()(scaling.scaling)
app.command()(throughput.tracking)
