"""`ss3d gc`: remove what no study, model or session needs any more; a dry run without `--yes`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from ss3d.cli.opening import HomeOption, StoreOption
from ss3d.cli.output import JsonFlag, console, emit, errors
from ss3d.cli.pretrains import bytes_as_text
from ss3d.settings import load_settings
from ss3d.store.opening import open_store

if TYPE_CHECKING:
    from ss3d.study.retention import Garbage, GarbageKind

_MEANING: dict[GarbageKind, str] = {
    "checkpoints": "of finished trials that are not kept",
    "weights": "and pictures of finished trials that are not kept; measurements stay",
    "pretrain": "pretrained states that no trial refers to",
    "control": "controls that no trial refers to",
    "unread": "of attempts that lost, and checkpoints of complete pretrained states and controls",
    "probe": "left by `ss3d doctor`",
    "unfinished": "left by writers that were killed",
    "spool": "of this machine: waits for nothing any more",
    "cache": "decoded data sets of this machine that no study refers to",
}


def gc(
    keep_best: Annotated[
        int,
        typer.Option("--keep-best", min=1, help="Trials of each stratum that keep their weights."),
    ] = 5,
    cache: Annotated[
        bool,
        typer.Option("--cache", help="Also this machine's decoded data that no study refers to."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove; without it, only say what.")] = False,
    home: HomeOption = None,
    store: StoreOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Remove what nothing needs any more; without --yes, say what that would be.

    A finished trial keeps checkpoints and weights if it is among the best of
    its stratum, on the front of several objectives, was ever promoted, or is
    part of a confirmation. Of others, spec, epochs, decisions, result and
    measurements stay: tables, comparisons, `ss3d rerun` and --resume work as
    before. Studies that a driver runs are left alone. MLflow keeps its own
    copies.

    Examples:
      ss3d gc
      ss3d gc --keep-best 3 --yes
      ss3d gc --cache --yes
    """
    from ss3d.study.collection import Scope, collect

    settings = load_settings(home=home, store=store)
    scope = Scope(keep_best, settings.cache_dir, cache, yes)
    with errors.status("reading the store …") as status:
        found = collect(open_store(settings.store_address), scope, status.update)
    kinds = _by_kind(found.items)
    value = {
        "deleted": yes,
        "bytes": _size(found.items),
        "kinds": {k: {"count": len(own), "bytes": _size(own)} for k, own in kinds.items()},
        "items": [asdict(item) for item in found.items],
        "running": found.running,
    }

    def say() -> None:
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        table.add_column("kind", no_wrap=True)
        table.add_column("number", justify="right")
        table.add_column("size", justify="right", no_wrap=True)
        table.add_column("what")
        for kind, own in kinds.items():
            table.add_row(kind, str(len(own)), bytes_as_text(_size(own)), _MEANING[kind])
        if kinds:
            console.print(table)
        for study in found.running:
            console.print(f"study {study}: left alone, a driver runs it", highlight=False)
        words = "removed" if yes else "would remove"
        more = "" if yes or not kinds else "; add --yes, or see every item by --json"
        console.print(f"{words} {bytes_as_text(_size(found.items))}{more}", highlight=False)

    emit(value, as_json, say)


def _by_kind(items: Iterable[Garbage]) -> dict[GarbageKind, list[Garbage]]:
    kinds: dict[GarbageKind, list[Garbage]] = defaultdict(list)
    for item in items:
        kinds[item.kind].append(item)
    return dict(kinds)


def _size(items: Iterable[Garbage]) -> int:
    return sum(item.num_bytes for item in items)
