"""Reading studies and trials back from the store, as records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ss3d.config import TrialConfig
from ss3d.errors import CheckpointError, ConfigError, DataError, Ss3dError
from ss3d.store import layout
from ss3d.store.bundle import bundle_exists
from ss3d.store.layout import SharedKind
from ss3d.store.protocol import Store
from ss3d.trial.records import (
    EpochReport,
    SharedRecord,
    StudyRecord,
    TrialRecord,
    TrialResult,
    TrialSpec,
    check_schema,
)


def list_studies(store: Store) -> list[str]:
    """Return the names of all studies in the store, in order."""
    keys = (key.split("/") for key in store.list("studies/"))
    return sorted({parts[1] for parts in keys if parts[2:] == ["study.json"]})


def load_study_spec(store: Store, name: str) -> dict[str, Any]:
    """Return study.json.

    Raises:
        ConfigError: there is no such study.
    """
    blob = store.get(layout.study(name, "study.json"))
    if blob is None:
        known = ", ".join(list_studies(store)) or "none"
        raise ConfigError(f"study {name!r}: not in the store {store.address}; there are: {known}")
    return read_object(blob.data, f"study.json of {name}")


def read_budget(store: Store, name: str, spec: Mapping[str, Any]) -> int:
    """Return the number of trials in a study's budget, extensions included.

    Args:
        store: where the study is.
        name: of the study.
        spec: its study.json.

    Raises:
        CheckpointError: an extension is damaged.
    """
    target = int(spec["budget"]["trials"])
    for key in store.list(layout.study(name, "budget") + "/"):
        try:
            target = max(target, int(read_object(_must(store, key), key)["trials"]))
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{key} is damaged: {error!r}") from error
    return target


def read_ended(store: Store, name: str) -> str:
    """Return why a study's last session ended by itself; empty if it was interrupted or runs.

    Raises:
        CheckpointError: the session's record is damaged.
    """
    sessions = sorted(store.list(layout.study(name, "sessions") + "/"))
    return (
        str(read_object(_must(store, sessions[-1]), sessions[-1]).get("ended", ""))
        if sessions
        else ""
    )


def load_study_record(store: Store, name: str) -> StudyRecord:
    """Return a study with all its trials and the pretrained states they share.

    Raises:
        ConfigError: there is no such study.
        CheckpointError: a stored record is damaged.
    """
    record, problems = load_readable(store, name)
    for problem in problems.values():
        raise problem
    return record


def load_readable(store: Store, name: str) -> tuple[StudyRecord, dict[str, Ss3dError]]:
    """Return what can be read of a study, and what is wrong with its other trials and pretrains.

    Raises:
        ConfigError: there is no such study.
        CheckpointError: study.json is damaged.
    """
    spec = load_study_spec(store, name)
    keys = _by_trial(store, name)
    problems: dict[str, Ss3dError] = {}
    trials: list[TrialRecord] = []
    for trial in sorted(keys):
        try:
            trials.append(_trial(store, name, trial, keys[trial]))
        except (DataError, ConfigError) as error:
            problems[f"trial {name}/{trial}"] = error
    shared: list[SharedRecord] = []
    for kind, key in dict.fromkeys(pair for trial in trials for pair in trial.spec.shared()):
        try:
            found = load_shared_record(store, kind, key)
            shared += [found] if found else []
        except (DataError, ConfigError) as error:
            problems[f"{kind} {key[:8]}"] = error
    record = StudyRecord(name=name, spec=spec, trials=tuple(trials), shared=tuple(shared))
    return record, problems


def load_trial_record(store: Store, study: str, trial: str) -> TrialRecord:
    """Return one trial.

    Raises:
        ConfigError: there is no such study or trial.
    """
    load_study_spec(store, study)
    keys = list(store.list(layout.trial(study, trial) + "/"))
    if layout.trial(study, trial, "spec.json") not in keys:
        raise ConfigError(f"trial {study}/{trial}: there is none; `ss3d trials {study}` lists all")
    return _trial(store, study, trial, keys)


def trial_export(store: Store, study: str, trial: str) -> str:
    """Return the prefix of a trial's export: of the attempt that its result names.

    There need not be one: a trial that has no result, or was pruned, has none.

    Raises:
        CheckpointError: the result is damaged.
    """
    blob = store.get(layout.trial(study, trial, "result.json"))
    if blob:
        own = layout.export(study, trial, TrialResult.from_json(blob.data).attempt)
        if bundle_exists(store, own):
            return own
    return layout.trial(study, trial, "best")  # of stores in which attempts shared one


def is_complete(store: Store, kind: SharedKind, key: str) -> bool:
    """Return whether a shared pretrained state or control is complete in the store."""
    return store.get(layout.shared(kind, key, "manifest.json")) is not None


def shared_export(store: Store, kind: SharedKind, key: str) -> str:
    """Return the prefix of the export of what trials share: of the attempt that its manifest names.

    Raises:
        CheckpointError: it is not complete, or its manifest is damaged.
    """
    names = _shared_names(store, kind, key)
    if names is None:
        raise CheckpointError(f"{store.address}: {kind} {key[:12]} is not complete")
    return names["checkpoint"]


def why_failed(store: Store, kind: SharedKind, key: str) -> str:
    """Return why a shared pretraining or control cannot be made; empty if nobody found that.

    Raises:
        CheckpointError: the record is damaged.
    """
    name = layout.shared(kind, key, "failed.json")
    blob = store.get(name)
    return str(read_object(blob.data, name).get("reason", "unknown")) if blob else ""


def load_shared_record(store: Store, kind: SharedKind, key: str) -> SharedRecord | None:
    """Return a shared pretrained state or control as far as it got, or None if none was started."""
    config = store.get(layout.shared(kind, key, "config.json"))
    if config is None:
        return None
    names = _shared_names(store, kind, key)
    epochs = store.get(names["epochs"]) if names else None
    reports = read_reports(epochs.data) if epochs else ()
    return SharedRecord(
        kind=kind,
        key=key,
        config=TrialConfig.parse(read_object(config.data, f"config.json of {kind} {key}")),
        reports=reports,
        seconds=sum(report.system["epoch_s"] for report in reports),
        complete=names is not None,
    )


def read_reports(data: bytes) -> tuple[EpochReport, ...]:
    """Return the reports of an epochs file.

    Raises:
        CheckpointError: the file is damaged.
    """
    try:
        tree = read_object(data, "epochs file")
        return tuple(EpochReport.model_validate(report) for report in tree["reports"])
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"epochs file is damaged: {error}") from error


def read_object(data: bytes, origin: str) -> dict[str, Any]:
    """Return a stored JSON object.

    Raises:
        CheckpointError: the bytes are not one, or a newer ss3d wrote it.
    """
    try:
        tree = json.loads(data)
        if not isinstance(tree, dict):
            raise ValueError("not a JSON object")
        check_schema(tree, origin)
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{origin} is damaged: {error}") from error
    return tree


def _by_trial(store: Store, name: str) -> dict[str, list[str]]:
    """Return the keys of every trial that has a spec."""
    prefix = layout.study(name, "trials") + "/"
    keys: dict[str, list[str]] = {}
    for key in store.list(prefix):
        keys.setdefault(key.removeprefix(prefix).split("/")[0], []).append(key)
    return {
        trial: found
        for trial, found in keys.items()
        if layout.trial(name, trial, "spec.json") in found
    }


def _trial(store: Store, study: str, trial: str, keys: list[str]) -> TrialRecord:
    spec = TrialSpec.from_json(_must(store, layout.trial(study, trial, "spec.json")))
    result_key = layout.trial(study, trial, "result.json")
    if result_key in keys:
        result = TrialResult.from_json(_must(store, result_key))
        return TrialRecord(spec=spec, result=result, reports=result.reports)
    epochs = [key for key in keys if key.startswith(layout.trial(study, trial, "epochs") + "/")]
    newest = max(epochs, key=layout.attempt_and_epoch, default=None)
    reports = read_reports(_must(store, newest)) if newest else ()
    return TrialRecord(spec=spec, result=None, reports=reports)


def _shared_names(store: Store, kind: SharedKind, key: str) -> dict[str, str] | None:
    """Return where the export and the epochs of something shared are; None if it is not complete.

    Each attempt writes under names of its own, so that two producers never mix files.
    """
    name = layout.shared(kind, key, "manifest.json")
    blob = store.get(name)
    if blob is None:
        return None
    old = {"checkpoint": "checkpoint", "epochs": "epochs.json"}  # of manifests that name none
    tree = old | read_object(blob.data, name)
    return {part: layout.shared(kind, key, str(tree[part])) for part in old}


def _must(store: Store, key: str) -> bytes:
    blob = store.get(key)
    if blob is None:
        raise CheckpointError(f"{key} vanished from the store while it was read; try again")
    return blob.data
