"""What a person reads in MLflow: names of runs, parameters as text, descriptions."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ss3d.config import P2, UNSUP, TrialConfig, field_marks
from ss3d.report.leaderboard import (
    describe_values,
    duration,
    leaderboard,
    objective_of,
)
from ss3d.store.layout import SharedKind
from ss3d.tracking.statuses import Status
from ss3d.trial.objectives import Objective, objectives_of
from ss3d.trial.records import SharedRecord, StudyRecord, TrialRecord
from ss3d.trial.what_if import WhatIf

NOTE = "mlflow.note.content"
"""Tag that MLflow shows as a run's description, in Markdown."""

RUN_TAGS = {
    "mlflow.source.name": "ss3d search",
    "mlflow.source.type": "LOCAL",
    "mlflow.user": "ss3d",
}

_BEST_ROWS = 5
_STATES: dict[Status, str] = {
    "RUNNING": "running",
    "FINISHED": "complete",
    "FAILED": "failed",
    "KILLED": "interrupted",
}
_SHARED: dict[SharedKind, tuple[str, str]] = {
    "pretrain": ("Shared pretrained state", "start from it"),
    "control": ("Supervised control", "are measured against it"),
}
_STUDY_TABLES = (
    "objective", "constraints", "sampler", "pruner", "budget", "seed", "parameters", "strata",
    "arms", "controls",
)  # fmt: skip


def trial_name(record: TrialRecord) -> str:
    """Return a run's name: `t00017 · r0.1 h8 α0.999 s0.6 m0.5`, what the study varies only."""
    varied = {**record.spec.stratum, **record.spec.params}
    return " · ".join(part for part in (record.spec.trial, describe_values(varied)) if part)


def shared_name(record: SharedRecord) -> str:
    """Return a shared run's name: `pretrain 3f9c01ab · r0.1 h8`."""
    config = record.config
    values = {
        "data.labeled_ratio": config.data.labeled_ratio,
        "model.num_heads": config.model.num_heads,
    }
    return f"{record.kind} {record.key[:8]} · {describe_values(values)}"


def config_params(config: TrialConfig) -> dict[str, str]:
    """Return all values of a configuration as text under their dotted paths."""
    return {path: str(value) for path, value in _flat(config.model_dump(mode="json")).items()}


def shared_params(record: SharedRecord) -> dict[str, str]:
    """Return the values that act in a pretraining or in a control, under their dotted paths."""
    idle = (P2, UNSUP) if record.kind == "pretrain" else (UNSUP,)
    marks = dict(field_marks())
    return {p: text for p, text in config_params(record.config).items() if marks[p] not in idle}


def trial_tags(record: TrialRecord) -> dict[str, str]:
    """Return state, stratum, reason, links and description of a trial's run."""
    spec, result = record.spec, record.result
    tags = {
        "ss3d.state": record.state,
        **{f"ss3d.{kind}": key for kind, key in spec.shared()},
        "ss3d.code_version": spec.code_version,
        "ss3d.data_hash": spec.data_hash,
        NOTE: _trial_note(record),
    }
    if spec.stratum:
        tags["ss3d.stratum"] = describe_values(spec.stratum)
    if result is not None:
        tags["ss3d.attempt"] = str(result.attempt)
        tags |= {"ss3d.reason": result.reason} if result.reason else {}
    return tags


def shared_tags(record: SharedRecord, status: Status) -> dict[str, str]:
    """Return state and description of a shared run."""
    state = _STATES[status]
    what, use = _SHARED[record.kind]
    note = (
        f"**{what} `{record.key[:8]}`**: {state}, {len(record.reports)} epochs, "
        f"{duration(record.seconds)}.\n\nTrials that {use} carry the tag "
        f"`ss3d.{record.kind} = {record.key}`."
    )
    return {"ss3d.state": state, NOTE: note}


def what_if_name(found: WhatIf) -> str:
    """Return a run's name: `t00017 · what if α0.99`."""
    return f"{found.trial} · what if {describe_values(found.values)}"


def what_if_tags(found: WhatIf) -> dict[str, str]:
    """Return trial, state, code and description of a what-if's run."""
    address = f"{found.study}/{found.trial}"
    values = ", ".join(f"`{path}` = {value}" for path, value in found.values.items())
    note = (
        f"**What if** trial `{address}` had {values}: run on {found.device} by `ss3d rerun "
        f"{address} --set …`. Not a trial of the study: no sampler learns from it.\n\n"
        f"The trial itself carries the tag `ss3d.trial = {address}`."
    )
    return {
        "ss3d.state": "complete",
        "ss3d.of_trial": address,
        "ss3d.code_version": found.code_version,
        "ss3d.data_hash": found.data_hash,
        NOTE: note,
    }


def study_note(spec: Mapping[str, Any], trials: Sequence[TrialRecord]) -> str:
    """Return the Markdown description of a study's run: counts and the best of each stratum."""
    objective = objective_of(spec)
    name = spec["name"]
    study = StudyRecord(name=name, spec=dict(spec), trials=tuple(trials), shared=())
    rows = leaderboard(study)
    counts = Counter(row.state for row in rows)
    lines = [
        f"**Study `{name}`**: " + ", ".join(f"{n} {state}" for state, n in sorted(counts.items())),
        "",
        f"| # | trial | parameters | {objective.metric} | gain | epochs | time |",
        "|--:|:--|:--|--:|--:|--:|--:|",
    ]
    for row in rows:
        if row.rank is not None and row.rank <= _BEST_ROWS and row.value is not None:
            gain = "" if row.gain is None else f"{row.gain:+.3f}"
            values = describe_values({**row.stratum, **row.params})
            lines.append(
                f"| {row.rank} | {row.trial} | {values} | {row.value:.3f} | {gain} "
                f"| {row.epochs} | {duration(row.seconds)} |"
            )
    lines += ["", f"All of it: `ss3d trials {name}` · go on: `ss3d search … --resume`"]
    return "\n".join(lines)


def study_params(spec: Mapping[str, Any]) -> dict[str, str]:
    """Return what a study's run shows as parameters: objective, sampler, pruner, ranges."""
    return {
        path: value if isinstance(value, str) else json.dumps(value)
        for path, value in _flat(
            {name: spec[name] for name in _STUDY_TABLES if name in spec}
        ).items()
    }


def experiment_name(spec: Mapping[str, Any]) -> str:
    """Return the name of the experiment that a study's runs are in: its data set's."""
    return str(spec["data"]["name"])


def view_key(study: str) -> str:
    """Return the name of a study's table of trials in MLflow's pages."""
    return f"ss3d-{study}"


def view_tag(spec: Mapping[str, Any]) -> dict[str, str]:
    """Return the experiment's tag that makes MLflow show a study's trials, the best first.

    Columns are the objective, the gain, the parameters that vary and the state. MLflow's pages
    call it a shared view.
    """
    objective = objective_of(spec)
    study = spec["name"]
    view: dict[str, Any] = {
        "searchFilter": f"tags.`ss3d.kind` = 'trial' and tags.`ss3d.study` = '{study}'",
        "orderByKey": f"metrics.`{objective.metric}`",
        "orderByAsc": objective.minimize,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": [
            *(f"metrics.`{metric}`" for metric in objectives_of(spec).metrics),
            "metrics.`val/gain`",
            *(f"params.`{path}`" for path in spec.get("parameters", {})),
            "tags.`ss3d.state`",
            "tags.`ss3d.reason`",
        ],
    }
    return {f"mlflow.sharedViewState.{view_key(study)}": json.dumps(view)}


def experiment_tags(name: str, objective: Objective) -> dict[str, str]:
    """Return what MLflow's pages need to know of an experiment."""
    return {
        "mlflow.experimentKind": "custom_model_development",
        "mlflow.experiment.primaryMetric.name": objective.metric,
        "mlflow.experiment.primaryMetric.greaterIsBetter": str(not objective.minimize),
        NOTE: f"SS3D on the data set `{name}`: one run per study, in it one per trial and one per "
        "shared pretrained state or control.",
    }


def _trial_note(record: TrialRecord) -> str:
    """Return the Markdown description of a trial's run."""
    spec, result = record.spec, record.result
    address = f"{spec.study}/{spec.trial}"
    lines = [f"**Trial `{address}`**: {record.state}."]
    if result is not None and result.reason:
        lines.append(f"Reason: {result.reason}")
    if result is not None and result.values:
        values = ", ".join(f"`{name}` = {value:.4g}" for name, value in result.values.items())
        lines.append(f"At the end: {values} after {record.reports[-1].epoch} epochs.")
    lines.append(f"Epoch 0 is the pretrained state `{spec.pretrain_key[:8]}`.")
    lines.append(f"Again, in one process: `ss3d rerun {address} --check`")
    return "\n\n".join(lines)


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a tree's leaves under their dotted paths."""
    leaves: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            leaves |= _flat(value, f"{prefix}{name}.")
        else:
            leaves[f"{prefix}{name}"] = value
    return leaves
