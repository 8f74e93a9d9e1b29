"""The best trials of a study again, with other seeds: a search space made of their sealed specs.

Whoever is best of many trials was lucky as well. A confirmation is a study of its own, whose arms
are the chosen trials under their names and whose replicates are fresh seeds, the same for all arms.
Which models are labeled is not drawn again: the split is that of the trial.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ss3d.config import TrialConfig, canonical_json, fingerprint
from ss3d.errors import ConfigError, RefusedError
from ss3d.report.comparable import keep_values
from ss3d.report.leaderboard import by_stratum, leaderboard, objective_of
from ss3d.trial.records import StudyRecord, TrialRecord

FEWEST_SEEDS = 2
MOST_SEEDS = 100
"""Replicates of the space; its budget says how many of them run, so that it can grow."""
_DRAWN = ("pretrain.seed", "semi.seed")
"""What a replicate draws again."""


def choose_trials(study: StudyRecord, top: int, where: Mapping[str, Any]) -> list[TrialRecord]:
    """Return the best complete trials of each stratum that violate no constraint, the best first.

    Of several objectives the first is confirmed; who is best is as in `ss3d trials`.
    Trials that differ in nothing but their seeds count once, with their best value.

    Args:
        study: with its trials.
        top: how many of each stratum at most.
        where: values that they must have, by the path of a parameter, `arm` or `replicate`.

    Raises:
        ConfigError: no trial is complete, or none has such values.
    """
    (kept,) = keep_values([study], where)
    by_name = {trial.spec.trial: trial for trial in kept}
    rows = leaderboard(study.model_copy(update={"trials": tuple(kept)}))
    ranked = [by_name[row.trial] for row in rows if row.rank is not None]
    if not ranked:
        words = "".join(f" with {path} = {value}" for path, value in where.items())
        raise ConfigError(f"study {study.name} has no complete trial{words} to confirm")
    chosen: list[TrialRecord] = []
    seen = set[str]()
    for trials in by_stratum(ranked).values():
        distinct: list[TrialRecord] = []
        for trial in trials:
            identity = canonical_json(_kept(trial.spec.config))
            if identity not in seen:
                seen.add(identity)
                distinct.append(trial)
        chosen += distinct[:top]
    return chosen


def confirmation_text(
    study: StudyRecord, chosen: Sequence[TrialRecord], seeds: int, name: str
) -> str:
    """Return the search space of a confirmation as TOML.

    Args:
        study: whom it confirms.
        chosen: its trials that run again.
        seeds: how often each runs.
        name: of the confirmation.
    """
    objective = objective_of(study.spec)
    configs = {trial.spec.trial: _kept(trial.spec.config) for trial in chosen}
    first = next(iter(configs.values()))
    common = {
        path: value
        for path, value in first.items()
        if value is not None and all(config[path] == value for config in configs.values())
    }
    tables: list[tuple[str, Mapping[str, Any]]] = [
        (
            "[study]",
            {
                "name": name,
                "description": f"The best of {study.name} again, with other seeds",
                "confirms": study.name,
                "seed": int(fingerprint(["confirm", study.name, study.spec["seed"]])[:8], 16),
                "replicates": MOST_SEEDS,
            },
        ),
        ("[objective]", {"metric": objective.metric, "direction": objective.direction}),
        ("[sampler]", {"name": "random"}),
        ("[pruner]", {"name": "none"}),
        ("[budget]", {"trials": seeds * len(chosen)}),
        ("[resources]", study.spec["resources"]),
        ("[base]", {"preset": "paper", **common}),
    ]
    for trial, config in configs.items():
        own = {p: v for p, v in config.items() if p not in common and v is not None}
        tables.append(("[[arms]]", {"name": trial, **own}))
    head = f"# Written by `ss3d confirm {study.name}`; [budget] says how many replicates run.\n"
    return head + "\n".join(
        f"{title}\n" + "".join(f"{path} = {_toml(value)}\n" for path, value in values.items())
        for title, values in tables
    )


def confirmed_trials(confirmation: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the trials that a confirmation runs again, from its study.json."""
    return tuple(str(arm["name"]) for arm in confirmation["arms"])


def check_confirmation(
    confirmation: Mapping[str, Any], study: str, chosen: Sequence[TrialRecord] | None
) -> None:
    """Refuse a study that is no confirmation of these trials.

    Args:
        confirmation: its study.json.
        study: whom it shall confirm.
        chosen: which trials; None takes those that it has.

    Raises:
        RefusedError: it confirms nothing, another study or other trials.
    """
    name = confirmation["name"]
    confirms = confirmation.get("confirms")
    if confirms != study:
        words = f"confirms {confirms}" if confirms else "confirms no other"
        raise RefusedError(f"study {name} {words}; choose another --name")
    trials = confirmed_trials(confirmation)
    if chosen is not None and {trial.spec.trial for trial in chosen} != set(trials):
        raise RefusedError(
            f"study {name} confirms {', '.join(trials)}, now "
            f"{', '.join(trial.spec.trial for trial in chosen)} are asked for; leave out --top "
            "and --where to see it, or choose another --name"
        )


def _kept(config: TrialConfig) -> dict[str, Any]:
    """Return what a replicate leaves as it is."""
    return {path: value for path, value in config.flatten().items() if path not in _DRAWN}


def _toml(value: Any) -> str:
    """Return a JSON value that is not null as TOML."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        table: dict[str, Any] = value
        return f"{{ {', '.join(f'{key} = {_toml(inner)}' for key, inner in table.items())} }}"
    if isinstance(value, list):
        items: list[Any] = value
        return f"[{', '.join(map(_toml, items))}]"
    return repr(value)
