"""What a confirmation says of each trial: its mean over fresh seeds, and how lucky it was."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from ss3d.config import canonical_json
from ss3d.errors import CheckpointError
from ss3d.report.exported_distances import Exports
from ss3d.report.gains import last_distances
from ss3d.report.leaderboard import Objective, objective_of, objective_value
from ss3d.report.paired_gain import PairedGain, paired_gain
from ss3d.report.standing import stand
from ss3d.store.protocol import Store
from ss3d.trial.records import StudyRecord, TrialRecord

_BY_MODEL = "val/cd_l1"
"""The objective whose value is recorded of each validation model."""
_UPPER = 0.975


@dataclass(frozen=True)
class Confirmed:
    """A trial and its repetitions, in the unit of the objective."""

    trial: str
    """Of the study that is confirmed."""
    params: Mapping[str, Any]
    original: float
    values: Mapping[int, float]
    """Of the complete repetitions, by replicate."""
    others: Mapping[str, int]
    """How many repetitions ended otherwise or have not ended, by their state."""
    mean: float | None
    """Over fresh seeds, as `Standing` has it; None if no repetition is complete."""
    sd: float | None
    """Standard deviation over seeds; None with fewer than two, as below."""
    low: float | None
    """Ends of the mean's 95 % interval over seeds alone, by Student's t."""
    high: float | None
    luck: float | None
    """How much better the original was than the mean: what its seeds gave it."""
    behind: PairedGain | None
    """How much better the best is, paired by seed and validation model; None of the best itself."""
    probability: float | None
    """Of being the best of its stratum."""


@dataclass(frozen=True)
class ConfirmedStratum:
    """Trials that may be compared with each other, the best mean first."""

    stratum: Mapping[str, Any]
    trials: tuple[Confirmed, ...]
    num_models: int
    """Validation models that were resampled; 1 if the objective is not known by model."""


@dataclass(frozen=True)
class _Repetition:
    """A complete trial of the confirmation."""

    replicate: int
    value: float
    distances: NDArray[np.float64]
    """(V,) objective of each validation model."""


def confirm_results(
    store: Store, study: StudyRecord, confirmation: StudyRecord
) -> list[ConfirmedStratum]:
    """Return what a confirmation says, stratum by stratum of the study that it confirms.

    All is measured on the validation models, which chose the trials as well: fresh seeds take the
    luck of seeds away, not that of the models.

    Args:
        store: where the exports are.
        study: with the original trials.
        confirmation: with their repetitions.

    Raises:
        CheckpointError: an export is damaged, or an original is not in the store any more.
    """
    originals = {trial.spec.trial: trial for trial in study.trials}
    objective = objective_of(confirmation.spec)
    reader = _Reader(store, objective)
    strata: dict[str, list[TrialRecord]] = {}
    for arm in confirmation.spec["arms"]:
        original = originals.get(arm["name"])
        if original is None:
            raise CheckpointError(f"{study.name}/{arm['name']} is not in the store any more")
        strata.setdefault(canonical_json(original.spec.stratum), []).append(original)
    repeated: dict[str, list[TrialRecord]] = {}
    for trial in confirmation.trials:
        repeated.setdefault(str(trial.spec.stratum["arm"]), []).append(trial)
    return [_stratum(reader, trials, repeated) for trials in strata.values()]


class _Reader:
    """Reads repetitions in one unit and direction."""

    def __init__(self, store: Store, objective: Objective) -> None:
        self.objective = objective
        self.sign = 1.0 if objective.minimize else -1.0
        self._exports = Exports(store)

    def read(self, trials: Sequence[TrialRecord]) -> list[_Repetition]:
        """Return the complete ones."""
        found = []
        for trial in trials:
            value = objective_value(trial, self.objective)
            if trial.state == "complete" and value is not None and math.isfinite(value):
                replicate = int(trial.spec.stratum["replicate"])
                found.append(_Repetition(replicate, value, self._distances(trial, value)))
        return found

    def _distances(self, trial: TrialRecord, value: float) -> NDArray[np.float64]:
        """Return the objective by model; of all together where it is not recorded by model."""
        by_model = last_distances(self._exports, trial.spec)
        if self.objective.metric != _BY_MODEL or by_model is None:
            return np.array([value])
        return np.array([distance for _, distance in sorted(by_model.items())])


def _stratum(
    reader: _Reader, originals: Sequence[TrialRecord], repeated: Mapping[str, list[TrialRecord]]
) -> ConfirmedStratum:
    rows = {o.spec.trial: reader.read(repeated.get(o.spec.trial, [])) for o in originals}
    if len({len(one.distances) for row in rows.values() for one in row}) > 1:
        rows = {name: [_as_one(one) for one in row] for name, row in rows.items()}
    known = [name for name, row in rows.items() if row]
    standings = _standings(reader, [rows[name] for name in known])
    by_name = dict(zip(known, standings, strict=True))
    best = min(known, key=lambda name: by_name[name][0], default="")
    found = []
    for original in originals:
        name = original.spec.trial
        mean, probability = by_name.get(name, (None, None))
        sd, low, high = _spread([one.value for one in rows[name]])
        value = objective_value(original, reader.objective)
        assert value is not None  # it was chosen by it
        states = Counter[str](t.state for t in repeated.get(name, []) if t.state != "complete")
        found.append(
            Confirmed(
                trial=name,
                params=original.spec.params,
                original=value,
                values={one.replicate: one.value for one in rows[name]},
                others=states,
                mean=None if mean is None else reader.sign * mean,
                sd=sd,
                low=low,
                high=high,
                luck=None if mean is None else mean - reader.sign * value,
                behind=None if name == best else _behind(reader, rows[name], rows.get(best, [])),
                probability=probability,
            )
        )
    found.sort(key=lambda one: math.inf if one.mean is None else reader.sign * one.mean)
    models = max((len(one.distances) for row in rows.values() for one in row), default=0)
    return ConfirmedStratum(originals[0].spec.stratum, tuple(found), models)


def _as_one(one: _Repetition) -> _Repetition:
    return _Repetition(one.replicate, one.value, np.array([one.value]))


def _standings(
    reader: _Reader, rows: Sequence[Sequence[_Repetition]]
) -> list[tuple[float, float | None]]:
    """Return mean, lower is better, and probability of the arms, which all have repetitions."""
    if not rows:
        return []
    places = {r: n for n, r in enumerate(sorted({one.replicate for row in rows for one in row}))}
    cells = [(arm, one) for arm, row in enumerate(rows) for one in row]
    found = stand(
        np.array([arm for arm, _ in cells]),
        np.array([places[one.replicate] for _, one in cells]),
        reader.sign * np.array([one.distances for _, one in cells]),
    )
    return [(standing.mean, standing.probability) for standing in found]


def _spread(values: Sequence[float]) -> tuple[float | None, float | None, float | None]:
    """Return the standard deviation over seeds and the ends of the mean's 95 % interval."""
    if len(values) < 2:
        return None, None, None
    mean, sd = fmean(values), stdev(values)
    half = float(stdtrit(len(values) - 1, _UPPER)) * sd / math.sqrt(len(values))
    return sd, mean - half, mean + half


def _behind(
    reader: _Reader, ours: Sequence[_Repetition], best: Sequence[_Repetition]
) -> PairedGain | None:
    """Return how much better the best is on the seeds that both have; None if there is none."""
    theirs = {one.replicate: one.distances for one in best}
    pairs = [(one.distances, theirs[one.replicate]) for one in ours if one.replicate in theirs]
    if not pairs:
        return None
    differences = reader.sign * np.array([own - other for own, other in pairs])
    if differences.shape[1] == 1:  # twice the same: an interval over seeds alone
        differences = np.repeat(differences, 2, axis=1)
    return paired_gain(differences)
