"""How promotions are shown: the comparison, the gates' answers, a model's history."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ss3d.cli.output import console, errors
from ss3d.report.leaderboard import MARKS, date

if TYPE_CHECKING:
    from ss3d.report.challenge import Challenge
    from ss3d.tracking.ledger import Answer
    from ss3d.tracking.proposal import Proposal


def say_proposal(proposal: Proposal) -> None:
    """Print the candidate against the champion, and all answers."""
    head, found = proposal.ledger.head, proposal.challenge
    if head is not None and proposal.is_champion:
        _line(f"{head.origin} is the champion already; no gate is asked")
    if head is not None and found is not None:
        title = f"{proposal.candidate.origin} against version {head.version} ({head.origin})"
        if found.gain is None:
            console.print(f"{title}: not comparable: {found.reason}", highlight=False)
        else:
            console.print(_challenge_table(found, title))
            console.print("+ better, - worse, = not distinguishable, model by model", style="dim")
            if found.gain.verdict == "worse" and not proposal.answers:
                text = "note: worse than the champion, and no gate asks; see --gates"
                errors.print(Text(text, style="yellow"), soft_wrap=True)
    if proposal.answers:
        console.print(_gates_table(proposal.answers))


def say_picture(path: Path, missing: str) -> None:
    """Print where the comparison was drawn, or why it was not."""
    if missing:
        errors.print(Text(f"note: no {path}: {missing}", style="yellow"), soft_wrap=True)
    else:
        _line(f"picture: {path}")


def say_unwritten(proposal: Proposal) -> None:
    """Print what a promotion without `--dry-run` would do; a closed gate speaks for itself."""
    if not proposal.closed:
        head = proposal.ledger.head
        instead = f" instead of version {head.version}" if head else "; there is none yet"
        _line(f"nothing was written; {proposal.candidate.origin} would be the champion{instead}")


def say_outcome(value: Mapping[str, Any]) -> None:
    """Print who is champion now, or which folder was written."""
    origin = "/".join(part for part in (value["study"], value["trial"]) if part)
    if "folder" in value:
        _line(f"{origin} is in {value['folder']}")
        _line(f"next: ss3d predict IMAGE --model {value['folder']} -o cloud.ply")
        return
    say_repaired(value["repaired"])
    before = f"; previous is version {value['previous']}" if value["previous"] else ""
    _line(f"{origin} is version {value['version']} of {value['model']} and its champion{before}")
    _line(f"next: ss3d predict IMAGE --model models:/{value['model']}@champion -o cloud.ply")


def say_repaired(changes: Sequence[str]) -> None:
    """Print which aliases were repaired, or cannot be."""
    for change in changes:
        errors.print(Text(f"aliases: {change}", style="yellow"), soft_wrap=True)


def models_table(models: Sequence[Mapping[str, Any]]) -> Table:
    """Return the table of all models' champions."""
    table = _table("model", "version", "from", "cd_l1", "since", "reason")
    for one in models:
        version, since = str(one["version"]), date(one["since"])
        table.add_row(
            one["model"], version, escape(one["origin"]), _number(one["cd_l1"]), since,
            escape(one["reason"]),
        )  # fmt: skip
    return table


def say_history(value: Mapping[str, Any]) -> None:
    """Print who was champion of a model when and why, and what MLflow has."""
    table = _table("since", "version", "from", "cd_l1", "gates", "why", title="ledger")
    for entry in value["entries"]:
        why = ": ".join(word for word in (entry["action"], entry["reason"]) if word)
        table.add_row(
            date(entry["at"]), str(entry["version"]), escape(entry["origin"]),
            _number(entry["cd_l1"]), _gates(entry), escape(why),
        )  # fmt: skip
    console.print(table)
    if value["problem"]:
        errors.print(Text(f"note: {value['problem']}", style="yellow"), soft_wrap=True)
        return
    table = _table("version", "from", "cd_l1", "made", "alias", title="MLflow")
    for one in value["versions"]:
        table.add_row(
            str(one["version"]), escape(one["origin"]), _number(one["cd_l1"]),
            date(one["created_at"]), ", ".join(one["aliases"]),
        )  # fmt: skip
    console.print(table)


def _challenge_table(found: Challenge, title: str) -> Table:
    columns = ("category", "n", "champion", "candidate", "gain", "", "95 % interval")
    table = _table(*columns, title=title)
    rows = [(c.category, c.champion, c.candidate, c.gain) for c in found.categories]
    if found.gain is not None:
        rows.append(("all", found.champion.cd_l1, found.candidate.cd_l1, found.gain))
    for name, champion, candidate, gain in rows:
        numbers = (str(gain.num_models), _number(champion), _number(candidate))
        ends = f"{gain.low:+.3f} to {gain.high:+.3f}" if math.isfinite(gain.low) else ""
        table.add_row(escape(name), *numbers, f"{gain.mean:+.3f}", MARKS[gain.verdict], ends)
    return table


def _gates_table(answers: Sequence[Answer]) -> Table:
    table = _table("gate", "", "got", "expected", title="gates")
    for answer in answers:
        mark = "[green]open[/]" if answer.passed else "[red]closed[/]"
        table.add_row(answer.gate, mark, escape(answer.got), escape(answer.expected))
    return table


def _table(*columns: str, title: str = "") -> Table:
    table = Table(
        title=escape(title),
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1),
    )
    for column in columns:
        is_number = column in ("n", "cd_l1", "champion", "candidate", "gain")
        is_time = column in ("since", "made")
        justify = "right" if is_number else "left"
        table.add_column(column, justify=justify, overflow="fold", no_wrap=is_time)
    return table


def _gates(entry: Mapping[str, Any]) -> str:
    answers = entry["gates"]
    if not answers:
        return "-"
    count = f"{sum(answer['passed'] for answer in answers)} of {len(answers)}"
    return f"[red]{count}, forced[/]" if entry["forced"] else count


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _line(text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True, markup=False)
