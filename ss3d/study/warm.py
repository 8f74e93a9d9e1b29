"""Trials of earlier studies that a sampler learns from, copied into the study that uses them.

They are no trials of the study: not in its budget, its tables or its rungs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from ss3d.config import canonical_json
from ss3d.errors import CheckpointError, ConfigError, RefusedError
from ss3d.store import layout
from ss3d.store.protocol import Store
from ss3d.study.patience import put_once
from ss3d.study.space import Space
from ss3d.study.stored import stored_space
from ss3d.study.tables import Grid, Qmc, Random
from ss3d.trial.history import load_study_record, read_object
from ss3d.trial.records import SCHEMA, StudyRecord, TrialRecord


def copy_trials(
    store: Store, study: str, space: Space, content_hash: str, others: Sequence[str]
) -> list[dict[str, Any]]:
    """Copy the finished trials of other studies and return what study.json says of them.

    Args:
        store: where all these studies are.
        study: the one that will learn.
        space: its search space.
        content_hash: of its data set.
        others: names of earlier studies.

    Raises:
        ConfigError: one does not exist, or the sampler learns nothing.
        RefusedError: one was made with other data, parameters or objective, or has no trial.
    """
    if others and isinstance(space.sampler, Grid | Qmc | Random):
        raise ConfigError(f"--warm-from: has no effect with sampler {space.sampler.name}")
    known = []
    for other in dict.fromkeys(others):
        record = load_study_record(store, layout.check_study_name(other))
        _check_alike(record.spec, space, content_hash)
        trials = _finished(record)
        tree = {"schema": SCHEMA, "study": other, "trials": trials}
        data = canonical_json(tree).encode()
        sha256 = hashlib.sha256(data).hexdigest()
        put_once(store, _key(study, other, sha256), data)
        known.append({"study": other, "sha256": sha256, "trials": len(trials)})
    return known


def read_trials(store: Store, study: str, spec: Mapping[str, Any]) -> tuple[TrialRecord, ...]:
    """Return the trials that a study learns from before its own.

    Args:
        store: where it is.
        study: its name.
        spec: its study.json.

    Raises:
        CheckpointError: a copy is missing or was changed.
    """
    found: list[TrialRecord] = []
    for known in spec.get("warm", []):
        key = _key(study, known["study"], known["sha256"])
        blob = store.get(key)
        if blob is None or hashlib.sha256(blob.data).hexdigest() != known["sha256"]:
            raise CheckpointError(f"{key} is missing or was changed; the study cannot go on")
        trials = read_object(blob.data, key)["trials"]
        found += (TrialRecord.model_validate(trial) for trial in trials)
    return tuple(found)


def _finished(record: StudyRecord) -> list[dict[str, Any]]:
    """Return the trials that have a value, without the reports that the result has as well."""
    usable = [t for t in record.trials if t.state in ("complete", "pruned")]
    if not usable:
        raise RefusedError(f"--warm-from {record.name}: has no complete or pruned trial")
    return [{**trial.model_dump(mode="json"), "reports": []} for trial in usable]


def _check_alike(spec: Mapping[str, Any], space: Space, content_hash: str) -> None:
    """Refuse a study whose trials say nothing about this space."""
    name, theirs = spec["name"], spec["data"]["content_hash"]
    if theirs != content_hash:
        raise RefusedError(
            f"--warm-from {name}: was made with data {theirs[:12]}…, this study with "
            f"{content_hash[:12]}…; learn from a study of the same data"
        )
    other = stored_space(spec)
    own, others = ({p.path: p for p in s.parameters} for s in (space, other))
    differing = [path for path in {**own, **others} if own.get(path) != others.get(path)]
    if differing:
        raise RefusedError(f"--warm-from {name}: has other parameters: {', '.join(differing)}")
    if other.design.arms != space.design.arms:
        raise RefusedError(f"--warm-from {name}: has other arms of the same names")
    if other.objectives != space.objectives:
        raise RefusedError(
            f"--warm-from {name}: it searches for {_describe(other)}, "
            f"this study for {_describe(space)}"
        )


def _describe(space: Space) -> str:
    objectives = space.objectives
    words = [f"{one.direction} {one.metric}" for one in objectives.all]
    return ", ".join(words + [f"under {one.as_spec()}" for one in objectives.constraints])


def _key(study: str, other: str, sha256: str) -> str:
    return layout.study(study, "warm", f"{other}-{sha256[:16]}.json")
