"""How `ss3d rerun` and `ss3d show` say what a rerun, a what-if or a profile found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from ss3d.cli.output import console
from ss3d.cli.pretrains import bytes_as_text

if TYPE_CHECKING:
    from ss3d.cli.rerun_preparation import Prepared
    from ss3d.trial.profiling import Profile
    from ss3d.trial.verdict import Verdict
    from ss3d.trial.what_if import WhatIf

_OPERATIONS = 15


def show_prepared(ready: Prepared, is_profile: bool) -> None:
    """Print what differs from the original, what a proof can expect, and what it will cost."""
    from ss3d.report.leaderboard import duration
    from ss3d.trial.circumstances import expects_bitwise
    from ss3d.trial.verdict import TOLERANCE

    changes = "; ".join(change.describe() for change in ready.changes)
    _say(f"since the original: {changes or 'nothing changed'}")
    if ready.plan.config == ready.record.spec.config and not is_profile:
        suspects = [change.name for change in ready.changes if change.may_change_bits]
        doubt = f"bits may change by {', '.join(suspects)}: tolerance {TOLERANCE:.0%}"
        _say(f"expected: {'bitwise' if expects_bitwise(ready.changes) else doubt}")
    seconds = ready.plan.seconds
    time = "unknown" if seconds is None else f"{duration(seconds)}, as the original took"
    parts = [f"{name} {bytes_as_text(size)}" for name, size in ready.bytes_to_read.items()]
    reads = f"to read: {', '.join(parts) or 'nothing'}"
    _say(reads if is_profile else f"time: {time}; {reads}")


def show_verdict(verdict: Verdict) -> None:
    """Print whether a rerun repeated its original, and what could not be compared."""
    from ss3d.trial.verdict import TOLERANCE, describe_difference

    console.print(f"verdict: [bold]{verdict.verdict}[/] over {_compared(verdict.model_dump())}")
    if verdict.first_difference:
        _say(f"first difference: {describe_difference(verdict.first_difference)}")
        if verdict.relative_difference is not None:
            share = f"{verdict.relative_difference:.2%}"
            _say(f"last val/cd_l1: differs by {share}, tolerance {TOLERANCE:.0%}")
    for side, names in (("original", verdict.only_original), ("rerun", verdict.only_rerun)):
        if names:
            console.print(f"not compared, only the {side} has: {', '.join(names)}")


def show_what_if(
    trial: str, values: Mapping[str, Any], curves: Mapping[str, Mapping[int, float]]
) -> None:
    """Print the curve of a what-if beside that of its trial."""
    original, other = curves["original"], curves["what_if"]
    title = f"{trial} with {_assignments(values)}: val/cd_l1"
    table = Table("epoch", title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for name in ("original", "what if", "difference"):
        table.add_column(name, justify="right")
    for epoch in sorted(original.keys() | other.keys()):
        texts = [f"{curve[epoch]:.4f}" if epoch in curve else "" for curve in (original, other)]
        is_both = epoch in original and epoch in other
        table.add_row(
            str(epoch), *texts, f"{other[epoch] - original[epoch]:+.4f}" if is_both else ""
        )
    console.print(table)


def show_profile(found: Profile, trace: Path) -> None:
    """Print where an epoch's time goes."""
    train_s = found.steps * found.step_s
    _say(
        f"{found.phase} epoch {found.epoch}: {found.steps} steps of {found.step_s:.3g} s are "
        f"{train_s:.3g} s, validation {found.validation_s:.3g} s"
    )
    has_gpu = any(one.gpu_s for one in found.operations)
    table = Table("operation", box=SIMPLE_HEAD, pad_edge=False)
    for name in ("calls", "CPU ms", *(["GPU ms"] if has_gpu else [])):
        table.add_column(name, justify="right")
    for one in found.operations[:_OPERATIONS]:
        times = [one.cpu_s, *([one.gpu_s] if has_gpu else [])]
        table.add_row(one.name, str(one.calls), *(f"{1000 * time:.1f}" for time in times))
    console.print(table)
    _say(f"{trace}: {found.traced_steps} steps, for chrome://tracing or Perfetto")


def show_reruns(verdicts: Sequence[Mapping[str, Any]], what_ifs: Sequence[WhatIf]) -> None:
    """Print a line for each recorded rerun and what-if of a trial."""
    from ss3d.report.leaderboard import date
    from ss3d.trial.verdict import describe_difference

    for verdict in verdicts:
        where = f"{date(verdict['at'])} on {verdict['device']}"
        line = f"  rerun {where}: {verdict['verdict']} over {_compared(verdict)}"
        if first := verdict["first_difference"]:
            line += f", first {describe_difference(first)}"
        _say(line)
    for one in what_ifs:
        epoch, value = max(one.curve().items())
        _say(
            f"  what if {_assignments(one.values)}, {date(one.finished_at)} on {one.device}: "
            f"val/cd_l1 {value:.4f} at epoch {epoch}"
        )


def _compared(verdict: Mapping[str, Any]) -> str:
    """Return which epochs a verdict is about."""
    after, pretraining = verdict.get("after"), verdict.get("pretrain_epochs", 0)
    more = f" and {pretraining} of pretraining" if pretraining else ""
    start = f" after epoch {after}" if after is not None else ""
    count = verdict["epochs"]
    return f"{count} epoch{'' if count == 1 else 's'}{start}{more}"


def _assignments(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{path}={value}" for path, value in values.items())


def _say(line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
