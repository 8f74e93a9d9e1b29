"""What a study found, gathered from the store once: the content of its page."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ss3d.config import canonical_json, fingerprint
from ss3d.errors import CheckpointError, ConfigError
from ss3d.report.arm_gains import ArmGains, arm_gains
from ss3d.report.confirmed import ConfirmedStratum, confirm_results
from ss3d.report.cost import StratumCost, borrowed_keys, study_cost
from ss3d.report.exported_distances import Exports
from ss3d.report.figures_choice import Model, choose_extremes
from ss3d.report.figures_sheet import AZIMUTH, MODEL_COLORS, Sheet, comparison
from ss3d.report.gains import TrialGains, gains_of_trial, has_controls
from ss3d.report.leaderboard import Row, describe_values, leaderboard
from ss3d.report.previews import Previews, read_previews
from ss3d.store import layout
from ss3d.store.bundle import get_files, read_manifest
from ss3d.store.protocol import Store
from ss3d.trial.history import (
    load_study_record,
    read_budget,
    read_ended,
    read_object,
    trial_export,
)
from ss3d.trial.objectives import Objectives, objectives_of
from ss3d.trial.records import StudyRecord, TrialRecord

Importances = Callable[[StudyRecord], Sequence[Mapping[str, Any]]]
"""Says which parameters of a study decided, as `ss3d importance --json` does; empty if unknown."""

MOST_MODELS = len(MODEL_COLORS)
"""Winners in one picture, a color each."""
_OBJECTS = 3
_PREVIEW_FILES = ("previews/val.safetensors", "metrics.json", "config.json")
_PICKS: dict[Literal["best", "worst"], str] = {
    "best": "What it does best",
    "worst": "Where it fails",
}


@dataclass(frozen=True)
class Findings:
    """All that the page of a study says."""

    study: StudyRecord
    budget: int
    """Number of trials, extensions included."""
    ended: str
    """Why the last session ended by itself; empty if it was interrupted or runs."""
    rows: tuple[Row, ...]
    """The leaderboard."""
    gains: Mapping[str, TrialGains]
    """Of the complete trials whose exports can be read."""
    arms: tuple[ArmGains, ...]
    """Of arms, or of strata where there are none."""
    confirmation: str
    """Name of the study that confirms this one; empty if there is none."""
    confirmed: tuple[ConfirmedStratum, ...]
    costs: tuple[StratumCost, ...]
    importances: Sequence[Mapping[str, Any]]
    """By stratum, as `ss3d importance --json` shows them."""
    sheets: tuple[Sheet, ...]
    """Objects that the best trials reconstruct best and worst."""
    machines: tuple[Mapping[str, Any], ...]
    """What the last attempts of the best trials met, each once."""
    notes: tuple[str, ...]
    """What is missing, and why."""

    @property
    def objectives(self) -> Objectives:
        """Return what decides between the trials."""
        return objectives_of(self.study.spec)

    @property
    def counts(self) -> Counter[str]:
        """Return how many trials there are in each state."""
        return Counter(row.state for row in self.rows)

    @property
    def best(self) -> list[Row]:
        """Return the best trial of each stratum that has one."""
        return [row for row in self.rows if row.rank == 1]

    def trial(self, name: str) -> TrialRecord:
        """Return a trial by its name."""
        return next(trial for trial in self.study.trials if trial.spec.trial == name)


@dataclass(frozen=True)
class Known:
    """What only the rooms above can tell of a study."""

    importances: Sequence[Mapping[str, Any]] = ()
    """By stratum, as `ss3d importance --json` shows them."""
    trained: Mapping[str, float] | None = None
    """Seconds that its sessions trained each shared state, by key."""


def no_importances(study: StudyRecord) -> Sequence[Mapping[str, Any]]:
    """Return nothing: whoever cannot compute importances."""
    return ()


def gather_findings(store: Store, study: StudyRecord, known: Known | None = None) -> Findings:
    """Return what a study found; what is damaged or not there yet is left out and noted.

    Args:
        store: where its exports are.
        study: with all its trials.
        known: what else is known of it.

    Raises:
        CheckpointError: a record of the study itself is damaged.
    """
    known = known or Known()
    notes: list[str] = []
    rows = tuple(leaderboard(study))
    best = [row for row in rows if row.rank == 1]
    name, confirmed = _confirmation(store, study, notes)
    return Findings(
        study=study,
        budget=read_budget(store, study.name, study.spec),
        ended=read_ended(store, study.name),
        rows=rows,
        gains=_gains(store, study, notes),
        arms=_arms(store, study, notes),
        confirmation=name,
        confirmed=confirmed,
        costs=tuple(study_cost(study, borrowed_keys(store, study), known.trained)),
        importances=known.importances,
        sheets=_sheets(store, study.name, best, notes),
        machines=_machines(store, study, best),
        notes=tuple(notes),
    )


def findings_version(store: Store, study: StudyRecord) -> str:
    """Return a fingerprint of what `gather_findings` would find, without reading any export."""
    name = f"{study.name}-confirm"
    results = layout.study(name, "trials") + "/"
    return fingerprint(
        {
            "trials": {t.spec.trial: [t.state, len(t.reports)] for t in study.trials},
            "shared": {of.key: of.complete for of in study.shared},
            "confirmed": sum(key.endswith("/result.json") for key in store.list(results)),
        }
    )[:12]


def _gains(store: Store, study: StudyRecord, notes: list[str]) -> dict[str, TrialGains]:
    exports, found = Exports(store), dict[str, TrialGains]()
    for trial in study.trials:
        if trial.state == "complete":
            try:
                is_controlled = has_controls(study.spec)
                found[trial.spec.trial] = gains_of_trial(exports, is_controlled, trial)
            except CheckpointError as error:
                notes.append(f"{trial.spec.trial} has no gains: {error}")
    return found


def _arms(store: Store, study: StudyRecord, notes: list[str]) -> tuple[ArmGains, ...]:
    try:
        return tuple(arm_gains(store, study))
    except CheckpointError as error:
        notes.append(f"no gains of {'arms' if study.spec.get('arms') else 'strata'}: {error}")
        return ()


def _confirmation(
    store: Store, study: StudyRecord, notes: list[str]
) -> tuple[str, tuple[ConfirmedStratum, ...]]:
    """Return the study that `ss3d confirm` made, and what it says."""
    name = f"{study.name}-confirm"
    if store.get(layout.study(name, "study.json")) is None:
        return "", ()
    try:
        confirmation = load_study_record(store, name)
        if confirmation.spec.get("confirms") == study.name:
            return name, tuple(confirm_results(store, study, confirmation))
    except (CheckpointError, ConfigError) as error:
        notes.append(f"{name} cannot be read: {error}")
    return "", ()


def _sheets(store: Store, study: str, best: Sequence[Row], notes: list[str]) -> tuple[Sheet, ...]:
    """Return the picture of objects that the best trials do best, and that of the worst."""
    models: list[Model] = []
    for row in best[:MOST_MODELS]:
        try:
            label = " ".join(filter(None, (describe_values(row.stratum), row.trial)))
            previews = _previews(store, trial_export(store, study, row.trial))
            models.append(Model(label, f"{study}/{row.trial}", previews))
        except CheckpointError as error:
            notes.append(f"{row.trial} has no pictures: {error}")
    if len(best) > MOST_MODELS:
        notes.append(f"pictures show the first {MOST_MODELS} of {len(best)} strata")
    if not models:
        return ()
    try:
        return tuple(
            comparison(models, choose_extremes(models, pick, _OBJECTS), AZIMUTH, title)
            for pick, title in _PICKS.items()
        )
    except ConfigError as error:
        notes.append(f"no pictures: {error}")
        return ()


def _previews(store: Store, prefix: str) -> Previews:
    """Read the previews of an export without its weights."""
    entries = [entry for entry in read_manifest(store, prefix) if entry["name"] in _PREVIEW_FILES]
    with tempfile.TemporaryDirectory(prefix="ss3d-previews-") as folder:
        get_files(store, prefix, entries, Path(folder))
        return read_previews(Path(folder))


def _machines(
    store: Store, study: StudyRecord, best: Sequence[Row]
) -> tuple[Mapping[str, Any], ...]:
    """Return what the last attempts of the best trials met."""
    found: dict[str, Mapping[str, Any]] = {}
    for row in best:
        keys = sorted(store.list(layout.trial(study.name, row.trial, "attempts") + "/"))
        blob = store.get(keys[-1]) if keys else None
        if blob is not None:
            met = read_object(blob.data, keys[-1]).get("machine", {})
            found.setdefault(canonical_json(met), met)
    return tuple(found.values())
