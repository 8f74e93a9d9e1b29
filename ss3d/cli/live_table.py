"""A search while it runs: a table on a terminal, a line per change elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ss3d.report.leaderboard import COLORS, duration

if TYPE_CHECKING:
    from ss3d.study.live import Best, Snapshot, TrialLine

_SHOWN = 16
"""Trials in the table: all that run and wait, and the newest of the others."""


class LiveTable:
    """Shows snapshots of a search.

    Args:
        console: a terminal gets a table that changes in place.
        study: its name.
        metric: what the values are.
    """

    def __init__(self, console: Console, study: str, metric: str) -> None:
        self._console = console
        self._study = study
        self._metric = metric
        self._said: dict[str, str] = {}
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()

    def update(self, snapshot: Snapshot) -> None:
        """Show the search as it is now."""
        if self._live:
            self._live.update(draw(snapshot, self._study, self._metric), refresh=True)
        else:
            self._say_changes(snapshot)

    def _say_changes(self, snapshot: Snapshot) -> None:
        """Print a line for every job whose state changed."""
        if snapshot.paused or "spool" in self._said:
            self._say("spool", "is full," if snapshot.paused else "has room", snapshot.paused)
        for shared in snapshot.shared:
            self._say(f"{shared.kind} {shared.key}", shared.state, "")
        for line in snapshot.trials:
            if line.state != "waiting":
                value = "" if line.value is None else f"{self._metric} {line.value:.3f}"
                is_ended = line.state != "running"
                self._say(line.trial, line.state, f"{value} {line.reason}" if is_ended else "")

    def _say(self, name: str, state: str, details: str) -> None:
        if self._said.get(name) != state:
            self._said[name] = state
            self._console.print(Text(f"{name} {state} {details}".rstrip()), soft_wrap=True)


def draw(snapshot: Snapshot, study: str, metric: str) -> RenderableType:
    """Return the picture of a search: progress, best so far, and a table of trials."""
    counts = snapshot.counts
    ended = sum(counts.get(state, 0) for state in ("complete", "pruned", "failed"))
    eta = "" if snapshot.eta_s is None else f" · {duration(snapshot.eta_s)} to go"
    states = ", ".join(f"{number} {state}" for state, number in sorted(counts.items()))
    head = Text(f"{study}: {ended} of {snapshot.target} trials ({states})", style="bold")
    left = f" · {snapshot.left}" if snapshot.left else ""
    head.append(f" · {duration(snapshot.seconds)}{eta}{left}", style="not bold dim")
    refused = [Text(f"nothing new is started: {snapshot.refused}")] if snapshot.refused else []
    paused = [Text(f"training pauses: {snapshot.paused}", "yellow")] if snapshot.paused else []
    count = snapshot.num_resting
    resting = [Text(f"slots at rest on slow nodes: {count}", "yellow")] if count else []
    return Group(
        head,
        *refused,
        *paused,
        *resting,
        Padding(ProgressBar(total=snapshot.target, completed=ended), 0),  # alone, it ends no line
        *(_best(best, metric) for best in snapshot.best),
        _table(snapshot, metric),
    )


def _best(best: Best, metric: str) -> Text:
    where = ", ".join(f"{path} = {item}" for path, item in best.stratum.items())
    front = "" if best.num_front is None else f", one of {best.num_front} on its front"
    text = f"{best.trial}, {metric} {best.value:.3f}{front}"
    return Text(f"best{f' at {where}' if where else ''}: {text}", "green")


def _table(snapshot: Snapshot, metric: str) -> Table:
    paths = sorted({path for line in snapshot.trials for path in line.params})
    table = Table("job", "state", "epoch", metric, *(path.split(".")[-1] for path in paths))
    for shared in snapshot.shared:
        if shared.state != "ready":
            epoch = f"{shared.epoch}/{shared.num_epochs}"
            name = f"{shared.kind} {shared.key}"
            table.add_row(name, shared.state, epoch, _number(shared.value), style="blue")
    for line in _chosen(snapshot.trials):
        epoch = f"{line.epoch}/{line.num_epochs}"
        values = [_number(line.params.get(path)) for path in paths]
        color = {**COLORS, "waiting": "dim"}[line.state]
        table.add_row(line.trial, line.state, epoch, _number(line.value), *values, style=color)
    return table


def _chosen(lines: tuple[TrialLine, ...]) -> list[TrialLine]:
    """Return the trials that run or wait, and the newest others, in order."""
    is_open = [line.state in ("running", "waiting") for line in lines]
    room = _SHOWN - sum(is_open)
    ended = [line for line, is_live in zip(lines, is_open, strict=True) if not is_live]
    kept = {line.trial for line in ended[len(ended) - max(room, 0) :]} if room > 0 else set()
    return [
        line for line, is_live in zip(lines, is_open, strict=True) if is_live or line.trial in kept
    ]


def _number(value: object) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
