"""Whether what the store holds of a study fits together, and whether Optuna's journal agrees.

Reads only. While a driver runs the study, only what is final is judged.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ss3d.errors import CheckpointError, Ss3dError
from ss3d.settings import Settings
from ss3d.store import layout
from ss3d.store.bundle import MANIFEST, get_files, read_manifest
from ss3d.store.protocol import Store
from ss3d.study.frozen import frozen_trial
from ss3d.study.journal import facts, read_trials
from ss3d.study.stopping import is_driven
from ss3d.trial.check import Check, settled
from ss3d.trial.history import is_complete, load_readable, read_ended, read_object
from ss3d.trial.objectives import objectives_of
from ss3d.trial.records import StudyRecord, TrialRecord


@dataclass(frozen=True)
class Examined:
    """A study as it is read for all checks."""

    record: StudyRecord
    problems: dict[str, Ss3dError]
    """What is wrong with trials and shared states that cannot be read."""
    sizes: dict[str, int]
    """Bytes of the study's objects."""
    is_running: bool
    """A driver runs it now."""

    @property
    def settled(self) -> list[TrialRecord]:
        """Return the trials that can be judged."""
        return settled(self.record, self.is_running)


def read_study(store: Store, study: str) -> Examined:
    """Read a study for its checks.

    Raises:
        ConfigError: there is no such study.
        CheckpointError: study.json is damaged.
    """
    is_running = is_driven(
        store, study
    )  # before the rest: what it finishes meanwhile is not judged
    record, problems = load_readable(store, study)
    return Examined(record, problems, store.sizes(layout.study(study) + "/"), is_running)


def check_records(store: Store, examined: Examined) -> list[Check]:
    """Check numbers, results, decisions and shared states against each other."""
    name = examined.record.name
    resume = f"`ss3d search --name {name} --resume`"
    trials = examined.settled
    return [
        Check(
            "trials",
            f"trials: {len(examined.record.trials)}, finished: {len(trials)}",
            tuple(_wrong_trials(examined)),
            "restore what is damaged from a copy of the store, or `ss3d delete` the study",
        ),
        Check(
            "results",
            f"results: {len(trials)}",
            tuple(_wrong_results(store, examined)),
            f"{resume} writes results that are ready; an attempt that is not there was removed",
        ),
        Check(
            "decisions",
            f"pruned trials: {sum(t.state == 'pruned' for t in trials)}",
            tuple(_undecided(examined)),
            "`ss3d why` cannot explain them; results stay valid",
        ),
        Check(
            "shared",
            f"pretrained states and controls: {len(examined.record.shared)}",
            tuple(_missing_shared(store, examined)),
            f"{resume} makes what is missing of a study that is not over",
        ),
    ]


def bundles(store: Store, examined: Examined) -> list[str]:
    """Return the prefixes of all bundles of a study that are final, shared ones included."""
    final = {trial.spec.trial for trial in examined.settled}
    keys = [key for key in examined.sizes if key.split("/")[2:3] == ["trials"]]
    if examined.is_running:
        keys = [key for key in keys if key.split("/")[3] in final]
    for shared in examined.record.shared:
        if shared.complete:
            prefix = layout.shared(shared.kind, shared.key)
            keys += [key for key in store.list(f"{prefix}/") if key != f"{prefix}/{MANIFEST}"]
    return [key.removesuffix(f"/{MANIFEST}") for key in keys if key.endswith(f"/{MANIFEST}")]


def check_files(store: Store, examined: Examined, prefixes: Iterable[str], is_deep: bool) -> Check:
    """Check that the files of bundles are there, with the size of their manifest.

    Args:
        store: where they are.
        examined: the study.
        prefixes: as `bundles` returns them.
        is_deep: read every file and verify its sha256 as well.
    """
    differences, count = list[str](), 0
    for trial in examined.settled:
        best = layout.trial(examined.record.name, trial.spec.trial, "best")
        if trial.state == "complete" and not _has_export(examined, trial):
            differences.append(f"{best}: a complete trial without its best weights")
    for prefix in prefixes:
        count += 1
        differences += _wrong_files(store, prefix, is_deep)
    return Check(
        "files",
        f"bundles: {count}{', every byte' if is_deep else ''}",
        tuple(differences),
        "restore them from a copy of the store; a resume goes on from an older checkpoint, "
        "`ss3d rerun` makes lost weights again",
    )


def check_journal(settings: Settings, examined: Examined) -> Check:
    """Check that Optuna's journal says of every trial what the store says."""
    record, objectives = examined.record, objectives_of(examined.record.spec)
    advice = f"`ss3d search --name {record.name} --resume` writes it anew"
    try:
        held = read_trials(settings.study_journal, record.name)
    except CheckpointError as error:
        return Check("journal", "trials: 0", (str(error),), advice)
    if held is None:
        missing = (f"{settings.study_journal} has no study {record.name}",) if record.trials else ()
        return Check("journal", "trials: 0", missing, advice)
    judged = examined.settled if examined.is_running else list(record.trials)
    differences = []
    for trial in judged:
        number = layout.trial_number(trial.spec.trial)
        wanted = frozen_trial(trial.spec, trial.result, objectives)
        if number >= len(held):
            differences.append(f"{trial.spec.trial}: not in the journal")
        elif facts(held[number]) != facts(wanted):
            states = f"{held[number].state.name} there, {wanted.state.name} in the store"
            values = f"{held[number].values} there, {wanted.values} in the store"
            is_state = held[number].state != wanted.state
            differences.append(f"{trial.spec.trial}: {states if is_state else values}")
    if not examined.is_running and len(held) > len(record.trials):
        differences.append(f"{len(held) - len(record.trials)} trials that the store does not have")
    return Check("journal", f"trials: {len(held)}", tuple(differences), advice)


def _wrong_trials(examined: Examined) -> Iterable[str]:
    known = {trial.spec.trial for trial in examined.record.trials}
    damaged = {name.rpartition("/")[2] for name in examined.problems if name.startswith("trial ")}
    yield from (f"{name}: {error}" for name, error in examined.problems.items())
    last = max((layout.trial_number(trial) for trial in known | damaged), default=-1)
    for number in range(last + 1):
        if layout.trial_id(number) not in known | damaged:
            yield f"{layout.trial_id(number)}: there is none, but {layout.trial_id(last)} is"


def _wrong_results(store: Store, examined: Examined) -> Iterable[str]:
    study = examined.record.name
    for trial in examined.settled:
        assert trial.result is not None
        name, attempt = trial.spec.trial, f"a{trial.result.attempt}.json"
        key = layout.trial(study, name, "attempts", attempt)
        if trial.reports and key not in examined.sizes:
            yield f"{name}: its result names attempt {trial.result.attempt}, which is not there"
    for trial in examined.record.trials:
        if trial.result is None and not examined.is_running and _is_final(store, examined, trial):
            yield f"{trial.spec.trial}: its last epoch is in the store, its result is not"


def _is_final(store: Store, examined: Examined, trial: TrialRecord) -> bool:
    prefix = layout.trial(examined.record.name, trial.spec.trial, "epochs") + "/"
    keys = [key for key in examined.sizes if key.startswith(prefix)]
    blobs = [(key, store.get(key)) for key in keys]
    return any(read_object(blob.data, key).get("final") for key, blob in blobs if blob)


def _undecided(examined: Examined) -> Iterable[str]:
    prefix = layout.study(examined.record.name, "decisions") + "/"
    decided = {
        key.removeprefix(prefix).partition("-")[0]
        for key in examined.sizes
        if key.startswith(prefix)
    }
    for trial in examined.settled:
        if trial.state == "pruned" and trial.spec.trial not in decided:
            yield f"{trial.spec.trial}: pruned, but no decision is stored"


def _missing_shared(store: Store, examined: Examined) -> Iterable[str]:
    """Yield what finished trials must have had, or still lack, while nobody makes it."""
    is_over = bool(read_ended(store, examined.record.name))
    for trial in examined.settled:
        name, spec = trial.spec.trial, trial.spec
        if trial.reports and not is_complete(store, "pretrain", spec.pretrain_key):
            yield f"{name}: its pretrained state {spec.pretrain_key[:8]} is not in the store"
        may_lack = examined.is_running or is_over or trial.state != "complete"
        if (
            spec.control_key
            and not may_lack
            and not is_complete(store, "control", spec.control_key)
        ):
            yield f"{name}: its control {spec.control_key[:8]} is not in the store"


def _has_export(examined: Examined, trial: TrialRecord) -> bool:
    assert trial.result is not None
    study, name = examined.record.name, trial.spec.trial
    own, old = layout.export(study, name, trial.result.attempt), layout.trial(study, name, "best")
    return any(f"{prefix}/{MANIFEST}" in examined.sizes for prefix in (own, old))


def _wrong_files(store: Store, prefix: str, is_deep: bool) -> list[str]:
    try:
        entries = read_manifest(store, prefix)
        sizes = store.sizes(f"{prefix}/")
        found = [_wrong_file(prefix, entry, sizes) for entry in entries]
        if is_deep and not any(found):
            with TemporaryDirectory(prefix="ss3d-doctor-") as folder:
                get_files(store, prefix, entries, Path(folder))
    except CheckpointError as error:
        return [str(error)]
    return [difference for difference in found if difference]


def _wrong_file(prefix: str, entry: dict[str, Any], sizes: dict[str, int]) -> str:
    size = sizes.get(f"{prefix}/{entry['name']}")
    if size == entry["size"]:
        return ""
    held = "missing" if size is None else f"{size} bytes"
    return f"{prefix}/{entry['name']}: {held}, its manifest says {entry['size']} bytes"
