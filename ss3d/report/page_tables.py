"""The tables of a study's page: leaderboards, gains, the confirmation and the cost."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ss3d.config import canonical_json
from ss3d.report.cost import StratumCost, total_cost
from ss3d.report.findings import Findings
from ss3d.report.gains import Comparison, has_controls
from ss3d.report.gains_tables import explain_gains, left_out
from ss3d.report.leaderboard import Row, describe_values, duration, number, short
from ss3d.report.markup import Content, Markup, element, section, table
from ss3d.report.page_answer import describe_stratum, gain_words
from ss3d.report.paired_gain import PairedGain

MOST_ROWS = 100
_MANY_STRATA = 8
"""From here on strata share one leaderboard."""


def leaderboards(findings: Findings) -> Markup:
    """Return a leaderboard per stratum."""
    groups: dict[str, list[Row]] = {}
    for row in findings.rows:
        groups.setdefault(canonical_json(row.stratum), []).append(row)
    if len(groups) > _MANY_STRATA:
        groups = {"": list(findings.rows)}
    tables = [
        _leaderboard(findings, rows, with_stratum=name == "") for name, rows in groups.items()
    ]
    return section("Leaderboard", "leaderboard", *tables)


def _leaderboard(findings: Findings, rows: Sequence[Row], with_stratum: bool) -> Markup:
    objectives, shown = findings.objectives, rows[:MOST_ROWS]
    varied = _varied(rows)
    several, with_control = objectives.are_several, has_controls(findings.study.spec)
    headings = [
        *("#", "trial", "state", *["stratum"] * with_stratum, *["front"] * several),
        *objectives.metrics,
        *("over start", *["over control"] * with_control, "epochs", "time"),
        *(element("span", path.rpartition(".")[2], title=path) for path in varied),
    ]

    def cells(row: Row) -> list[Content]:
        gains = findings.gains.get(row.trial)
        return [
            "" if row.rank is None else str(row.rank),
            row.trial,
            _state(row),
            *[describe_values(row.stratum)] * with_stratum,
            *["" if row.front is None else str(row.front)] * several,
            *(number(row.values.get(metric)) for metric in objectives.metrics),
            "" if row.gain is None else f"{row.gain:+.3f}",
            *[gain_words(gains.over_control if gains else None, with_verdict=False)] * with_control,
            str(row.epochs),
            duration(row.seconds),
            *("" if path not in row.params else short(row.params[path]) for path in varied),
        ]

    name = "" if with_stratum or not rows else describe_stratum(rows[0].stratum)
    of = f"{MOST_ROWS} of {len(rows)} trials" if len(rows) > MOST_ROWS else f"{len(rows)} trials"
    text = 3 + with_stratum
    return table(f"{name}: {of}" if name else of, headings, map(cells, shown), text)


def gains(findings: Findings) -> Markup:
    """Return what arms or strata gained over their baselines, all on one scale."""
    arms = findings.arms
    known = [
        comparison.gain
        for arm in arms
        for comparison in (arm.over_control, arm.over_pretrained, arm.over_reference)
    ]
    reach = _reach(known)
    first = arms[0].label if arms else ""
    several, with_control = len(arms) > 1, has_controls(findings.study.spec)
    headings = ("arm" if findings.study.spec.get("arms") else "stratum", "trials", "cd_l1")
    baselines = (*["over control"] * with_control, "over start", *[f"over {first}"] * several)
    rows = [
        (
            arm.label,
            str(len(arm.trials)),
            number(arm.cd_l1) + ("" if arm.cd_l1_sd is None else f" ± {arm.cd_l1_sd:.3f}"),
            *[_interval(arm.over_control, reach)] * with_control,
            _interval(arm.over_pretrained, reach),
            *[_interval(arm.over_reference, reach)] * several,
        )
        for arm in arms
    ]
    notes = [element("li", line) for line in left_out(arms, ())]
    return section(
        "Gains",
        "gains",
        table("All complete trials of each together", (*headings, *baselines), rows, 1),
        element("p", explain_gains(known)),
        *([element("ul", *notes)] if notes else []),
    )


def confirmation(findings: Findings) -> Markup | None:
    """Return what fresh seeds say; None without a confirmation."""
    if not findings.confirmed:
        return None
    reach = _reach([one.behind for part in findings.confirmed for one in part.trials])
    headings = ("trial", "seeds", "mean", "sd", "original", "luck", "behind the best", "P(best)")
    tables = [
        table(
            describe_stratum(part.stratum) or "The best trials again",
            headings,
            [
                (
                    one.trial,
                    str(len(one.values)),
                    number(one.mean),
                    number(one.sd),
                    number(one.original),
                    "" if one.luck is None else f"{one.luck:+.3f}",
                    _interval(Comparison(one.behind), reach),
                    "" if one.probability is None else f"{one.probability:.2f}",
                )
                for one in part.trials
            ],
            1,
        )
        for part in findings.confirmed
    ]
    words = (
        f"{findings.confirmation} ran them with fresh seeds. Luck is how much better the original "
        "was than the mean; behind is how much better the best is, paired by seed and model."
    )
    return section("Confirmation", "confirmation", element("p", words), *tables)


def cost_table(findings: Findings) -> Markup:
    """Return what was spent and saved, all strata together and each by itself."""
    costs = list(findings.costs)
    named = [(describe_values(part.stratum) or "all trials", part) for part in costs]
    if len(costs) > 1:
        named.append(("all trials", StratumCost({}, total_cost(costs))))
    headings = (
        *("stratum", "trials", "pretraining", "teacher-student", "controls", "spent"),
        *("wasted by failures", "saved by sharing", "saved by stopping", "factor"),
    )
    rows = []
    for name, part in named:
        cost = part.cost
        seconds = (
            *(cost.pretrain_s, cost.semi_s, cost.control_s, cost.spent_s, cost.failed_s),
            *(cost.saved_by_sharing_s, cost.saved_by_stopping_s),
        )
        factor = "–" if math.isnan(cost.factor) else f"{cost.factor:.2f}"
        rows.append((name, str(cost.num_trials), *map(duration, seconds), factor))
    return table("Training time", headings, rows, 1)


def _reach(gains: Sequence[PairedGain | None]) -> float:
    """Return the half width of a scale around zero that holds all intervals."""
    ends = [end for gain in gains if gain for end in (gain.mean, gain.low, gain.high)]
    return max((abs(end) for end in ends if math.isfinite(end)), default=0.0) or 1.0


def _interval(comparison: Comparison, reach: float) -> Content:
    """Return a gain in words under its interval around zero."""
    gain = comparison.gain
    if gain is None:
        return gain_words(comparison) if comparison.reason else ""
    low, mean, high = (
        50 * max(-1.0, min(1.0, end / reach)) for end in (gain.low, gain.mean, gain.high)
    )
    drawn = Markup(
        f'<svg class="interval {gain.verdict.split()[0]}" viewBox="-52 -5 104 10" '
        'aria-hidden="true">'
        f'<path class="zero" d="M0-5V5"/><path d="M{low:.1f} 0H{high:.1f}"/>'
        f'<circle cx="{mean:.1f}" r="2.6"/></svg>'
    )
    return element("div", drawn, gain_words(comparison), class_="gain")


def _state(row: Row) -> Markup:
    is_infeasible = row.state == "complete" and row.is_feasible is False
    state = "infeasible" if is_infeasible else row.state
    return element("span", state, class_=f"state {state}", title=row.reason)


def _varied(rows: Sequence[Row]) -> list[str]:
    """Return the parameters that differ within these rows, or that not all of them have."""
    paths = dict.fromkeys(path for row in rows for path in row.params)
    return [
        path for path in paths if len({canonical_json(row.params.get(path)) for row in rows}) > 1
    ]
