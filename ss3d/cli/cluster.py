"""`ss3d cluster`: can a study run on all nodes of a cluster?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from ss3d.cli.opening import DATA, HomeOption, StoreOption
from ss3d.cli.output import JsonFlag, console, emit, errors
from ss3d.errors import ConfigError, RefusedError
from ss3d.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ss3d.study.nodes import NodeReport

app = typer.Typer(
    help="Ask whether a study can run on all nodes.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@app.callback()
def cluster() -> None:
    """Ask whether a study can run on all nodes."""


@app.command()
def check(
    address: Annotated[str | None, typer.Option(help="Ray cluster to ask.")] = None,
    data: Annotated[str | None, typer.Option(help=DATA)] = None,
    home: HomeOption = None,
    store: StoreOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Ask every node for its versions and clock, and whether it reaches store, data and its cache.

    A task runs on each node, also beside a search, and takes no CPU from it. Versions are
    compared with this machine's. MLflow is asked by `ss3d doctor`: workers do not need it.

    Ends with 5 if a node is not fit or the cluster asks for no token, with 4 if cluster or
    store do not answer.

    Examples:
      ss3d cluster check --address auto --data s3://bucket/data
    """
    from ss3d.study.environment import check_closed, prepare_environment

    settings = load_settings(home=home, store=store, ray_address=address)
    if not settings.ray_address:
        raise ConfigError("expected a Ray cluster; say --address, or set SS3D_RAY_ADDRESS")
    check_closed(settings.ray_address)
    prepare_environment(settings.home, settings.ray_address)
    from ss3d.study.nodes import examine_nodes  # Ray reads the environment at its import

    with errors.status("nodes …"):
        reports = sorted(examine_nodes(settings, data or ""), key=lambda r: (not r.is_head, r.node))
    unfit = [r.node for r in reports if any(f.outcome == "failed" for f in r.findings)]
    value = {"ray": settings.ray_address, "ok": not unfit, "nodes": [_as_value(r) for r in reports]}
    emit(value, as_json, lambda: _say(reports))
    if unfit:
        raise RefusedError(f"{len(unfit)} of {len(reports)} nodes are not fit: {', '.join(unfit)}")


def _as_value(report: NodeReport) -> dict[str, Any]:
    return report._asdict() | {"findings": [finding._asdict() for finding in report.findings]}


def _say(reports: Sequence[NodeReport]) -> None:
    table = Table("node", "address", "CPUs", "GPUs", "device", "found")
    for report in reports:
        name = f"{report.node} (head)" if report.is_head else report.node
        bad = [finding for finding in report.findings if finding.outcome == "failed"]
        found = [f"[red]{finding.probe}[/]: {escape(finding.detail)}" for finding in bad]
        good = [finding.probe for finding in report.findings if finding.outcome == "ok"]
        found += [f"[green]ok[/] {', '.join(good)}"] if good else []
        numbers = (f"{report.cpus:g}", f"{report.gpus:g}")
        table.add_row(escape(name), report.address, *numbers, report.device, "\n".join(found))
    console.print(table)
    advice = {f.probe: f.advice for r in reports for f in r.findings if f.outcome == "failed"}
    for probe, told in advice.items():
        console.print(f"{probe}: {escape(told)}", soft_wrap=True, highlight=False)
