"""What a study found as plain values: `ss3d report --json`."""

from __future__ import annotations

from typing import Any

from ss3d.report.confirmed_tables import confirmed_as_values
from ss3d.report.cost import cost_as_values, total_cost
from ss3d.report.findings import Findings
from ss3d.report.gains_tables import arm_as_values, gains_as_values
from ss3d.report.leaderboard import Row, standing
from ss3d.report.page_lineage import next_commands

_QUESTION = (
    "description", "constraints", "sampler", "pruner", "parameters", "strata", "arms", "controls",
    "data", "space",
)  # fmt: skip


def findings_as_values(findings: Findings) -> dict[str, Any]:
    """Return all that the page says, without pictures."""
    spec = findings.study.spec
    return {
        "study": findings.study.name,
        "question": {
            "objectives": [
                {"metric": o.metric, "direction": o.direction} for o in findings.objectives.all
            ],
            "budget": {**spec.get("budget", {}), "trials": findings.budget},
            **{name: spec[name] for name in _QUESTION if name in spec},
        },
        "counts": dict(sorted(findings.counts.items())),
        "ended": findings.ended,
        "best": [_row(findings, row) for row in findings.best],
        "leaderboard": [_row(findings, row) for row in findings.rows],
        "gains": [arm_as_values(arm) for arm in findings.arms],
        "confirmation": findings.confirmation or None,
        "confirmed": confirmed_as_values(findings.confirmed),
        "importance": list(findings.importances),
        "pictures": [{"title": sheet.title, "rule": sheet.note} for sheet in findings.sheets],
        "cost": {
            **cost_as_values(total_cost(findings.costs)),
            "strata": [
                {"stratum": part.stratum} | cost_as_values(part.cost) for part in findings.costs
            ],
        },
        "lineage": {
            **{name: spec.get(name) for name in ("seed", "created_at", "code")},
            "machines": [dict(met) for met in findings.machines],
        },
        "next": [command for _, command in next_commands(findings)],
        "notes": list(findings.notes),
    }


def _row(findings: Findings, row: Row) -> dict[str, Any]:
    gains = findings.gains.get(row.trial)
    return {
        "rank": row.rank,
        "trial": row.trial,
        "state": row.state,
        "stratum": dict(row.stratum),
        "params": dict(row.params),
        "values": dict(row.values),
        **standing(row, findings.objectives),
        "gain": row.gain,
        "epochs": row.epochs,
        "seconds": row.seconds,
        "reason": row.reason,
        **(gains_as_values(gains) if gains else {}),
    }
