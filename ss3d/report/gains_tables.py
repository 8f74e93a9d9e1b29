"""Gains for the terminal and as plain values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ss3d.report.arm_gains import ArmGains
from ss3d.report.gains import Comparison, TrialGains
from ss3d.report.leaderboard import MARKS, describe_values
from ss3d.report.paired_gain import PairedGain

if TYPE_CHECKING:
    from rich.table import Table


def arm_table(arms: Sequence[ArmGains], has_arms: bool, title: str = "") -> Table:
    """Return the table of arms, or of strata; it fits 80 columns."""
    from rich.markup import escape

    table = _new_table(title)
    table.add_column("arm" if has_arms else "stratum", min_width=11, overflow="fold")
    headings = ("labels", "cd_l1", "vs control", "vs pretrained")
    for name in (*headings, "vs first arm" if has_arms else "vs first"):
        table.add_column(name, justify="right", no_wrap=True)
    for arm in arms:
        ratio = "" if arm.labeled_ratio is None else f"{100 * arm.labeled_ratio:g} %"
        count = "" if arm.num_labeled is None else f"\n{arm.num_labeled}"
        sd = "" if arm.cd_l1_sd is None else f"\n±{arm.cd_l1_sd:.2f}"
        table.add_row(
            escape(arm.label),
            ratio + count,
            _number(arm.cd_l1) + sd,
            _cell(arm.over_control),
            _cell(arm.over_pretrained),
            _cell(arm.over_reference),
        )
    return table


def trial_table(trials: Sequence[TrialGains], title: str = "") -> Table:
    """Return the table of complete trials; it fits 100 columns."""
    from rich.markup import escape

    table = _new_table(title)
    table.add_column("trial", no_wrap=True)
    for name in ("cd_l1", "vs control", "vs pretrained"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("parameters", overflow="fold")
    for trial in trials:
        gains = (_cell(trial.over_control), _cell(trial.over_pretrained))
        words = escape(describe_values({**trial.stratum, **trial.params}))
        table.add_row(trial.trial, _number(trial.cd_l1), *gains, words)
    return table


def describe_gain(comparison: Comparison) -> str:
    """Return a gain in one line, or why there is none."""
    gain = comparison.gain
    if gain is None:
        return f"none: {comparison.reason}"
    return (
        f"{gain.mean:+.3f} ({gain.low:+.3f} to {gain.high:+.3f}), {gain.verdict}; "
        f"{counted(gain.num_models, 'validation model')}"
    )


def how_to_read(gains: Iterable[PairedGain | None]) -> str:
    """Return what the numbers and marks of a table mean, with how many models and replicates."""
    known = [gain for gain in gains if gain is not None]
    marks = (
        " Under it the interval. '+' is better, '-' worse, '=' not distinguishable: the interval "
        "holds 0, so these runs do not say which is better."
    )
    return explain_gains(known) + (marks if known else "")


def explain_gains(gains: Iterable[PairedGain | None]) -> str:
    """Return what a gain is and what its interval covers."""
    known = [gain for gain in gains if gain is not None]
    if not known:
        return "No gain can be told yet."
    models = _range({gain.num_models for gain in known}, "validation model")
    replicates = _range({gain.num_replicates for gain in known}, "replicate")
    seeds = (
        "with a single replicate it does not cover other seeds"
        if min(gain.num_replicates for gain in known) == 1
        else "it covers other models and other seeds"
    )
    return (
        f"{models}, {replicates}: a gain is the cd_l1 of the control, pretrained state or first "
        "arm minus that of the trial on the same models, so a positive gain is a lower (better) "
        f"cd_l1. Its 95 % interval is a bootstrap: {seeds}."
    )


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: 1 replicate, 2 replicates."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def left_out(arms: Iterable[ArmGains], trials: Iterable[TrialGains]) -> list[str]:
    """Return why gains or parts of them are missing, each reason once with those it is about."""
    about: dict[str, list[str]] = {}
    named = [
        *((a.label, a.over_control, a.over_pretrained, a.over_reference) for a in arms),
        *((t.trial, t.over_control, t.over_pretrained) for t in trials),
    ]
    for name, *comparisons in named:
        for reason in dict.fromkeys(c.reason for c in comparisons if c.reason):
            about.setdefault(reason, []).append(name)
    return [f"{', '.join(names)}: {reason}" for reason, names in about.items()]


def gains_as_values(gains: TrialGains) -> dict[str, Any]:
    """Return the two gains of a trial as `--json` shows them."""
    pairs = {"over_control": gains.over_control, "over_pretrained": gains.over_pretrained}
    return {name: comparison_as_values(comparison) for name, comparison in pairs.items()}


def trial_as_values(trial: TrialGains) -> dict[str, Any]:
    """Return a trial as `--json` shows it."""
    known = {"trial": trial.trial, "stratum": trial.stratum, "params": trial.params}
    return {**known, "cd_l1": trial.cd_l1, **gains_as_values(trial)}


def arm_as_values(arm: ArmGains) -> dict[str, Any]:
    """Return an arm as `--json` shows it."""
    values = {name: getattr(arm, name) for name in _PLAIN}
    for name in ("over_control", "over_pretrained", "over_reference"):
        values[name] = comparison_as_values(getattr(arm, name))
    return values


def comparison_as_values(comparison: Comparison) -> dict[str, Any]:
    """Return a gain as `--json` shows it: all null but the reason where there is none."""
    gain = comparison.gain
    values = {name: None if gain is None else getattr(gain, name) for name in _GAIN}
    return {**values, "reason": comparison.reason}


def flat_row(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested values in one line of a CSV: `over_control.mean`."""
    row: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            row.update({f"{name}.{key}": item for key, item in value.items()})
        else:
            row[name] = " ".join(value) if isinstance(value, tuple) else value
    return row


_GAIN = ("mean", "low", "high", "verdict", "num_models", "num_replicates")
_PLAIN = (
    "label", "stratum", "labeled_ratio", "num_labeled", "trials", "num_replicates", "cd_l1",
    "cd_l1_sd", "category_mean", "reference",
)  # fmt: skip


def _new_table(title: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    return Table(title=title or None, box=SIMPLE_HEAD, pad_edge=False, title_justify="left")


def _cell(comparison: Comparison) -> str:
    gain = comparison.gain
    if gain is None:
        return "[dim]–[/]"
    return f"{gain.mean:+.3f} {MARKS[gain.verdict]}\n[dim]{gain.low:+.2f}…{gain.high:+.2f}[/]"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _range(counts: set[int], noun: str) -> str:
    low, high = min(counts), max(counts)
    return counted(low, noun) if low == high else f"{low} to {high} {noun}s"
