"""`cluster/local/up`, `down` and `status`: the servers of a cluster on this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from cluster.local import stack
from ss3d.cli.output import JsonFlag, console, emit, errors
from ss3d.errors import ServiceError, Ss3dError

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
FolderArgument = Annotated[Path, typer.Argument(help="Folder of the stack: data, logs, env.")]


@app.command()
def up(
    folder: FolderArgument,
    port: Annotated[
        int, typer.Option(min=0, max=55000, help="First port of what is new; 0 takes free ones.")
    ] = 0,
    nodes: Annotated[
        int | None, typer.Option(min=0, max=64, help="Nodes of a Ray cluster; 0 ends it.")
    ] = None,
    cpus: Annotated[
        int | None, typer.Option(min=1, help="CPUs that each new node offers; default 1.")
    ] = None,
) -> None:
    """Start S3, PostgreSQL and MLflow on loopback, with new passwords for a new folder.

    With --nodes a Ray cluster too: a head and nodes that train, as on machines of their
    own. A stack keeps its nodes; another number adds some or takes the last ones away.

    What runs already stays as it is, so after a crash the same command repairs. Ends
    with 4 if something is missing or does not start, with 5 if a port is taken.

    Examples:
      cluster/local/up stack && source stack/env
      cluster/local/up stack --port 21000
      cluster/local/up stack --nodes 3 --cpus 1
    """
    with errors.status("servers") as spinner:
        for service, told in stack.up(folder, port, nodes, cpus):
            spinner.update(f"{service} …")
            if told != "starting":
                console.print(f"{service:<10} {told}", highlight=False)
    env = folder / stack.ENVIRONMENT_FILE
    console.print(f"now: source {escape(str(env))}", soft_wrap=True, highlight=False)


@app.command()
def down(folder: FolderArgument) -> None:
    """Stop the servers of a folder; their data stays for the next `up`.

    Only processes that `up` recorded are ended.

    Examples:
      cluster/local/down stack
    """
    for service, count in stack.down(folder):
        told = "stopped" if count else "did not run"
        console.print(f"{service:<10} {told}", highlight=False)


@app.command()
def status(folder: FolderArgument, as_json: JsonFlag = False) -> None:
    """Try a real operation on every server. Ends with 4 if one does not work.

    Examples:
      cluster/local/status stack --json
    """
    standings = stack.status(folder)
    table = Table("service", "state", "port", "processes")
    for standing in standings:
        numbers = " ".join(map(str, standing.processes))
        table.add_row(standing.service, standing.state, str(standing.port), numbers)
    value = [standing._asdict() for standing in standings]
    emit(value, as_json, lambda: console.print(table))
    if bad := [standing.service for standing in standings if standing.state != "works"]:
        raise ServiceError(f"down: {', '.join(bad)}; `cluster/local/up {folder}` starts them")


def run() -> None:
    """Run the command line; exit with the codes of ss3d."""
    try:
        app(prog_name="cluster/local")
    except Ss3dError as error:
        errors.print(Text(f"cluster/local: {error}", style="red"), soft_wrap=True)
        sys.exit(error.exit_code)
    except OSError as error:
        errors.print(Text(f"cluster/local: {error}", style="red"), soft_wrap=True)
        sys.exit(ServiceError.exit_code)


if __name__ == "__main__":
    run()
