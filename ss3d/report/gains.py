"""What the teacher-student phase of each trial brought, against its control and its start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ss3d.errors import CheckpointError
from ss3d.report.exported_distances import Distances, Exports
from ss3d.report.paired_gain import PairedGain, paired_gain
from ss3d.store import layout
from ss3d.store.protocol import Store
from ss3d.trial.history import is_complete, shared_export, trial_export
from ss3d.trial.log import tracebacks
from ss3d.trial.records import StudyRecord, TrialRecord, TrialSpec

_OLD = "exported before the last epoch's distances were kept"


@dataclass(frozen=True)
class Comparison:
    """A gain, or why there is none."""

    gain: PairedGain | None
    reason: str = ""
    """Why there is none, or what was left out of it."""


@dataclass(frozen=True)
class Paired:
    """Baseline minus trial by validation model, or why there is none."""

    differences: Distances | None
    reason: str = ""

    def compare(self) -> Comparison:
        """Return the gain of this single replicate."""
        if self.differences is None:
            return Comparison(None, self.reason)
        return Comparison(paired_gain(np.array([list(self.differences.values())])))


@dataclass(frozen=True)
class TrialGains:
    """What a complete trial gained; all values in the unit of `cd_l1`, positive is better."""

    trial: str
    stratum: Mapping[str, Any]
    params: Mapping[str, Any]
    cd_l1: float | None
    """Of the last epoch."""
    over_control: Comparison
    over_pretrained: Comparison


def has_controls(study_spec: Mapping[str, Any]) -> bool:
    """Return whether study.json asks for supervised controls."""
    return bool(study_spec.get("controls", False))


def trial_gains(store: Store, study: StudyRecord) -> list[TrialGains]:
    """Return the gains of all complete trials; others have no export.

    Trial and control are taken at their last epochs, the pretrained state at its best: that is
    where the trial began. No best of the compared epochs is chosen, so none is better by luck.

    Args:
        store: where the exports are.
        study: the trials.

    Raises:
        CheckpointError: an export is missing or damaged.
    """
    exports = Exports(store)
    return [
        gains_of_trial(exports, has_controls(study.spec), trial)
        for trial in study.trials
        if trial.state == "complete"
    ]


def gains_of_trial(exports: Exports, is_controlled: bool, trial: TrialRecord) -> TrialGains:
    """Return the gains of one complete trial.

    Args:
        exports: to read from.
        is_controlled: whether its study has controls.
        trial: a complete one.

    Raises:
        CheckpointError: an export is missing or damaged.
    """
    spec = trial.spec
    return TrialGains(
        trial=spec.trial,
        stratum=spec.stratum,
        params=spec.params,
        cd_l1=trial.reports[-1].metrics.get("val/cd_l1") if trial.reports else None,
        over_control=over_control(exports, is_controlled, spec).compare(),
        over_pretrained=over_pretrained(exports, spec).compare(),
    )


def over_control(exports: Exports, is_controlled: bool, spec: TrialSpec) -> Paired:
    """Return the last epoch of the control minus that of the trial.

    Raises:
        CheckpointError: an export is missing or damaged.
    """
    reason = _why_no_control(exports.store, is_controlled, spec)
    if reason:
        return Paired(None, reason)
    prefix = shared_export(exports.store, "control", spec.control_key)
    control = exports.distances(prefix, "last")
    if control is None:
        return Paired(None, f"its control was {_OLD}")
    return _minus(control, last_distances(exports, spec), f"{spec.trial} and its control")


def over_pretrained(exports: Exports, spec: TrialSpec) -> Paired:
    """Return the best epoch of the pretrained state minus the last of the trial.

    Raises:
        CheckpointError: an export is missing or damaged.
    """
    if not is_complete(exports.store, "pretrain", spec.pretrain_key):
        return Paired(None, "its pretrained state is not in the store")
    prefix = shared_export(exports.store, "pretrain", spec.pretrain_key)
    start = exports.distances(prefix, "best")
    words = f"{spec.trial} and its pretrained state"
    return _minus(start or {}, last_distances(exports, spec), words)


def last_distances(exports: Exports, spec: TrialSpec) -> Distances | None:
    """Return the `cd_l1` of each validation model at a trial's last epoch, if it was recorded.

    Raises:
        CheckpointError: the export is missing or damaged.
    """
    return exports.distances(trial_export(exports.store, spec.study, spec.trial), "last")


def _why_no_control(store: Store, is_controlled: bool, spec: TrialSpec) -> str:
    """Return why a trial cannot be compared with its control; empty if it can."""
    semi = spec.config.semi
    if not is_controlled:
        return "the study has no controls"
    if not semi.enabled:
        return "semi.enabled = false: it ends with its pretrained state"
    if semi.lambda_u == 0:
        return "semi.lambda_u = 0: it is supervised itself"
    if not spec.control_key:
        return "it was sealed without a control"
    if is_complete(store, "control", spec.control_key):
        return ""
    if tracebacks(store, layout.shared("control", spec.control_key)):
        return "its control failed"
    return "its control is not made yet"


def _minus(baseline: Distances, trial: Distances | None, words: str) -> Paired:
    if trial is None:
        return Paired(None, f"it was {_OLD}")
    if baseline.keys() != trial.keys():
        raise CheckpointError(
            f"{words} were not measured on the same validation models: "
            f"{len(trial)} and {len(baseline)}, {len(trial.keys() & baseline.keys())} in common"
        )
    return Paired({name: baseline[name] - value for name, value in sorted(trial.items())})
