"""A confirmation as plain values, as a table and as a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ss3d.report.confirmed import Confirmed, ConfirmedStratum
from ss3d.report.leaderboard import describe_values

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rich.table import Table

FORMATS = (".png", ".pdf", ".svg")
_WIDTH_IN, _DPI = 9.2, 125
_ROW_IN, _FRAME_IN = 0.42, 1.6
_INK, _PALE = "#27272a", "#71717a"
_MEAN, _BEHIND = "#0072b2", "#d55e00"
"""Of Okabe and Ito, which color-blind people tell apart."""


def confirmed_as_values(found: Sequence[ConfirmedStratum]) -> list[dict[str, Any]]:
    """Return a confirmation as `--json` shows it."""
    return [
        {
            "stratum": dict(part.stratum),
            "num_models": part.num_models,
            "trials": [
                {
                    "trial": one.trial,
                    "params": dict(one.params),
                    "original": one.original,
                    "values": dict(one.values),
                    "others": dict(one.others),
                    **{n: getattr(one, n) for n in ("mean", "sd", "low", "high", "luck")},
                    "behind": one.behind and vars(one.behind),
                    "probability": one.probability,
                }
                for one in part.trials
            ],
        }
        for part in found
    ]


def confirmed_table(part: ConfirmedStratum, title: str = "") -> Table:
    """Return one stratum for the terminal, the best first."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=title or None, box=SIMPLE_HEAD, pad_edge=False, title_justify="left")
    table.add_column("trial", no_wrap=True)
    for name in ("seeds", "mean ± sd", "original", "luck", "behind (95 %)", "P(best)"):
        table.add_column(name, justify="right", no_wrap=True)
    for place, one in enumerate(part.trials):
        table.add_row(
            one.trial,
            _seeds(one),
            "–" if one.mean is None else f"{one.mean:.3f}" + (f" ± {one.sd:.3f}" if one.sd else ""),
            f"{one.original:.3f}",
            "–" if one.luck is None else f"{one.luck:+.3f}",
            _behind(one),
            "–" if one.probability is None else f"{one.probability:.2f}",
            style="bold" if place == 0 and one.mean is not None else None,
        )
    return table


def remarks(found: Sequence[ConfirmedStratum]) -> list[str]:
    """Return what to know about the numbers."""
    lines = [
        "luck: how much better the original was than the mean over fresh seeds · behind: how much "
        "better the best is, paired by seed and validation model · P(best): of being the best over "
        "other seeds and models; the validation models are those that chose the trials"
    ]
    for one in (one for part in found for one in part.trials):
        if one.others:
            words = ", ".join(f"{count} {state}" for state, count in sorted(one.others.items()))
            lines.append(f"{one.trial}: {words}; the rest counts")
    if any(one.probability is None and one.mean is not None for p in found for one in p.trials):
        lines.append("no probability: two seeds at least must be complete in several trials")
    return lines


def draw_confirmation(path: Path, found: Sequence[ConfirmedStratum], title: str = "") -> None:
    """Write the picture: means with intervals over seeds, and how far each is behind the best.

    Args:
        path: ends in `.png`, `.pdf` or `.svg`; its folder is made.
        found: strata from top to bottom.
        title: a line above.
    """
    from matplotlib.figure import Figure

    rows = [(part, one) for part in found for one in part.trials]
    size = (_WIDTH_IN, _FRAME_IN + _ROW_IN * max(1, len(rows)))
    figure = Figure(figsize=size, facecolor="white", layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    for place, (_, one) in enumerate(rows):
        _draw_values(left, one, len(rows) - 1 - place)
        _draw_behind(right, one, len(rows) - 1 - place)
    labels = [_label(part, one) for part, one in reversed(rows)]
    left.set_yticks(range(len(rows)), labels, fontsize=8.5, color=_INK)
    left.set_ylim(-0.6, max(1, len(rows)) - 0.4)
    left.set_xlabel("validation value: mean, 95 % over seeds, seeds, ◇ original", color=_INK)
    right.axvline(0, color=_INK, linewidth=1)
    right.set_xlabel("behind the best (95 %)", color=_INK)
    for axes in (left, right):
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color="#e4e4e7", linewidth=0.7)
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, color=_INK)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=_DPI)


def _draw_values(axes: Axes, one: Confirmed, height: float) -> None:
    if one.low is not None and one.high is not None:
        axes.plot([one.low, one.high], [height, height], color=_MEAN, linewidth=1.8)
    if one.mean is not None:
        axes.plot(one.mean, height, "o", color=_MEAN, markersize=6.5)
    values = list(one.values.values())
    axes.plot(values, [height - 0.22] * len(values), "|", color=_PALE, markersize=7)
    axes.plot(one.original, height, "D", markersize=6, markeredgecolor=_INK, markerfacecolor="none")


def _draw_behind(axes: Axes, one: Confirmed, height: float) -> None:
    gain = one.behind
    if gain is None:
        return
    if math.isfinite(gain.low):
        axes.plot([gain.low, gain.high], [height, height], color=_BEHIND, linewidth=1.8)
    is_clear = gain.verdict != "not distinguishable"
    axes.plot(
        gain.mean, height, "s", markersize=6, markeredgecolor=_BEHIND,
        markerfacecolor=_BEHIND if is_clear else "white",
    )  # fmt: skip


def _label(part: ConfirmedStratum, one: Confirmed) -> str:
    words = describe_values(part.stratum)
    chance = "" if one.probability is None else f" · {one.probability:.0%} the best"
    return f"{words} {one.trial}{chance}".strip()


def _seeds(one: Confirmed) -> str:
    count = len(one.values)
    return f"{count} of {count + sum(one.others.values())}"


def _behind(one: Confirmed) -> str:
    gain = one.behind
    if gain is None:
        return ""
    if not math.isfinite(gain.low):
        return f"{gain.mean:+.3f}"
    return f"{gain.mean:+.3f} ({gain.low:+.3f} … {gain.high:+.3f})"
