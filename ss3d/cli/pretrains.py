"""`ss3d pretrains`: what trials share in the store, and removing what nobody needs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from ss3d.cli.opening import HomeOption, StoreOption
from ss3d.cli.output import JsonFlag, console, emit
from ss3d.settings import load_settings
from ss3d.store.opening import open_store

if TYPE_CHECKING:
    from ss3d.study.inventory import SharedItem

app = typer.Typer(
    help="Pretrained states and controls that trials share: list, show, retry, gc.",
    no_args_is_help=True,
)

_SHORT = 12


@app.command("list")
def list_(home: HomeOption = None, store: StoreOption = None, as_json: JsonFlag = False) -> None:
    """List all pretrained states and controls in the store.

    `running`: a driver makes it now. `failed` is not tried again until `ss3d
    pretrains retry`; `unfinished` goes on when a study needs it.

    Examples:
      ss3d pretrains list
    """
    from ss3d.study.inventory import list_shared

    items = list_shared(open_store(load_settings(home=home, store=store).store_address))

    def say() -> None:
        console.print(_table(items))
        for item in items:
            if item.reason:
                line = f"{item.kind} {item.key[:_SHORT]} failed: {item.reason}"
                console.print(Text(line), soft_wrap=True)

    emit([asdict(item) for item in items], as_json, say)


@app.command()
def show(
    key: Annotated[str, typer.Argument(help="The key, or as much of its start as is unique.")],
    home: HomeOption = None,
    store: StoreOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show one pretrained state or control: who uses it, and its epochs.

    Examples:
      ss3d pretrains show 3f9c01
    """
    from ss3d.study.inventory import find_shared
    from ss3d.trial.history import load_shared_record

    opened = open_store(load_settings(home=home, store=store).store_address)
    item = find_shared(opened, key)
    record = None if item.state == "damaged" else load_shared_record(opened, item.kind, item.key)
    reports = record.reports if record else ()
    value = asdict(item) | {
        "config": record.config.flatten() if record else None,
        "epoch_reports": [report.model_dump(mode="json") for report in reports],
    }

    def say() -> None:
        console.print(f"{item.kind} {item.key}: {_describe(item)}", highlight=False)
        console.print(f"used by: {', '.join(item.users) or 'no trial'}", highlight=False)
        table = Table("phase", "epoch", "val/cd_l1", "seconds", box=SIMPLE_HEAD, pad_edge=False)
        for report in reports:
            numbers = (report.metrics["val/cd_l1"], report.system["epoch_s"])
            table.add_row(report.phase, str(report.epoch), f"{numbers[0]:.4f}", f"{numbers[1]:.1f}")
        if reports:
            console.print(table)

    emit(value, as_json, say)


@app.command()
def retry(
    key: Annotated[str, typer.Argument(help="The key, or as much of its start as is unique.")],
    home: HomeOption = None,
    store: StoreOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Let studies try a pretrained state or control again that failed.

    What failed by itself fails again unless something outside its key has
    changed; a change of the code has another key by itself.

    Examples:
      ss3d pretrains retry 3f9c01
    """
    from ss3d.study.inventory import find_shared, retry_failed

    opened = open_store(load_settings(home=home, store=store).store_address)
    item = find_shared(opened, key)
    retry_failed(opened, item)
    words = f"{item.kind} {item.key} is tried again by the next study that needs it"
    emit({"kind": item.kind, "key": item.key}, as_json, lambda: console.print(words))


@app.command()
def gc(
    yes: Annotated[bool, typer.Option("--yes", help="Remove; without it, only say what.")] = False,
    home: HomeOption = None,
    store: StoreOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Remove pretrained states and controls that no trial refers to.

    What any trial of any study refers to stays, unfinished ones too: a resumed
    study goes on with them. Of it go exports of attempts that nobody reads.

    Examples:
      ss3d pretrains gc
      ss3d pretrains gc --yes
    """
    from ss3d.study.inventory import collect_garbage, list_shared

    opened = open_store(load_settings(home=home, store=store).store_address)
    found = list_shared(opened)
    unread = sum(item.unread_bytes for item in found if not item.is_garbage)
    gone = collect_garbage(opened, found) if yes else None
    items = [item for item in found if item.is_garbage] if gone is None else gone
    num_bytes = sum(item.num_bytes for item in items) + unread
    value = {
        "deleted": yes,
        "bytes": num_bytes,
        "items": [{"kind": item.kind, "key": item.key, "bytes": item.num_bytes} for item in items],
    }

    def say() -> None:
        if items:
            console.print(_table(items))
        words = "removed" if yes else "would remove"
        more = "" if yes or not items else "; add --yes"
        console.print(f"{words} {len(items)}, {bytes_as_text(num_bytes)}{more}", highlight=False)

    emit(value, as_json, say)


def bytes_as_text(num_bytes: int) -> str:
    """Return a size as a person says it: 512 B, 1.5 MB."""
    size, units = float(num_bytes), ["B", "kB", "MB", "GB", "TB"]
    while size >= 999.5 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:.3g} {units[0]}"


def _table(items: list[SharedItem]) -> Table:
    from ss3d.report.leaderboard import duration

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("kind", "key", "state"):
        table.add_column(name, no_wrap=True)
    for name in ("val/cd_l1", "time", "size"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("used by")
    for item in items:
        value = "" if item.cd_l1 is None else f"{item.cd_l1:.3f}"
        sizes = (duration(item.seconds), bytes_as_text(item.num_bytes))
        table.add_row(item.kind, item.key[:_SHORT], item.state, value, *sizes, _users(item))
    return table


def _users(item: SharedItem) -> str:
    """Return the studies that use something, with the number of their trials."""
    counts: dict[str, int] = {}
    for user in item.users:
        study = user.partition("/")[0]
        counts[study] = counts.get(study, 0) + 1
    return ", ".join(f"{study} ({count})" for study, count in counts.items())


def _describe(item: SharedItem) -> str:
    from ss3d.report.leaderboard import duration

    parts: list[Any] = [f"failed: {item.reason}" if item.reason else item.state]
    if item.cd_l1 is not None:
        parts.append(f"val/cd_l1 {item.cd_l1:.3f}")
    return ", ".join([*parts, duration(item.seconds), bytes_as_text(item.num_bytes)])
