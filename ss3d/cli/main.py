"""The `ss3d` command: builds the tree of commands and turns errors into exit codes."""

from __future__ import annotations

import sys

import typer
from rich.text import Text

from ss3d.cli import data
from ss3d.cli.output import errors
from ss3d.errors import Ss3dError

app = typer.Typer(
    name="ss3d",
    help="Search, browse, promote and rerun SS3D trials.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.add_typer(data.app, name="data")


def run() -> None:
    """Run the command line; exit with the code that errors.py documents."""
    try:
        app(standalone_mode=True)
    except Ss3dError as error:
        errors.print(Text(f"ss3d: {error}", style="red"), soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        errors.print("ss3d: interrupted; what was running can be resumed")
        sys.exit(130)
