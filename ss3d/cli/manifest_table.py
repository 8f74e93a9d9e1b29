"""How a data set's preparation and its content are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.table import Table

from ss3d.cli.output import console, emit, errors

if TYPE_CHECKING:
    from ss3d.data.manifest import Manifest


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on stderr; yields the callback that moves it."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = ("[progress.description]{task.description}", BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=errors, transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def show_manifest(manifest: Manifest, address: str, as_json: bool) -> None:
    """Print a manifest."""
    value = {
        "address": address,
        "name": manifest.name,
        "content_hash": manifest.content_hash,
        "models": manifest.num_models,
        "views": manifest.num_views,
        "image_size": manifest.image_size,
        "points": manifest.num_points,
        "splits": manifest.split_counts(),
        "categories": {
            synset: {"name": manifest.categories[synset], **counts}
            for synset, counts in manifest.counts.items()
        },
        "skipped": [skipped.model_dump() for skipped in manifest.skipped],
    }
    emit(value, as_json, lambda: _print_manifest(manifest, address))


def _print_manifest(manifest: Manifest, address: str) -> None:
    """Print a manifest as a table."""
    from ss3d.data.manifest import SPLITS

    table = Table("synset", "category", *SPLITS, "models", title=f"{manifest.name} in {address}")
    for synset, counts in manifest.counts.items():
        numbers = [counts[split] for split in SPLITS]
        row = [*numbers, sum(numbers)]
        table.add_row(synset, manifest.categories[synset], *map(str, row))
    table.add_section()
    totals = [*manifest.split_counts().values(), manifest.num_models]
    table.add_row("", "all", *map(str, totals))
    console.print(table)
    console.print(
        f"{manifest.num_views} views of {manifest.image_size} px, {manifest.num_points} points, "
        f"content {manifest.content_hash[:12]}"
    )
    if manifest.skipped:
        console.print(f"{len(manifest.skipped)} skipped:")
        for skipped in manifest.skipped:
            console.print(f"  {skipped.model}: {skipped.reason}", markup=False, highlight=False)
