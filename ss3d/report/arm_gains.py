"""What each arm of a study gained, its replicates together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np

from ss3d.config import DataConfig, canonical_json
from ss3d.report.exported_distances import Distances, Exports
from ss3d.report.gains import Comparison, Paired, has_controls, last_distances
from ss3d.report.gains import over_control as trial_over_control
from ss3d.report.gains import over_pretrained as trial_over_pretrained
from ss3d.report.leaderboard import describe_values
from ss3d.report.paired_gain import PairedGain, paired_gain
from ss3d.store.protocol import Store
from ss3d.trial.records import StudyRecord, TrialRecord, TrialSpec

if TYPE_CHECKING:
    from ss3d.data.manifest import Manifest

_Row = tuple[int, Distances]
"""A replicate and a value of each validation model."""
_ARM, _REPLICATE = "arm", "replicate"


@dataclass(frozen=True)
class ArmGains:
    """An arm, or a stratum of a study without arms; distances in the unit of `cd_l1`."""

    label: str
    stratum: Mapping[str, Any]
    """Without the replicate."""
    labeled_ratio: float | None
    """None if its trials differ in it."""
    num_labeled: int | None
    """Labeled models of a trial; None if the data set is not known."""
    trials: tuple[str, ...]
    """The complete ones: all that follows is about them. Several of a replicate are averaged."""
    num_replicates: int
    cd_l1: float | None
    """Mean over replicates at the last epoch."""
    cd_l1_sd: float | None
    """Standard deviation over replicates; None with fewer than two."""
    category_mean: float | None
    over_control: Comparison
    over_pretrained: Comparison
    reference: str
    """Label of the first arm; empty for that arm itself."""
    over_reference: Comparison


def arm_gains(store: Store, study: StudyRecord, manifest: Manifest | None = None) -> list[ArmGains]:
    """Return the gains of all arms in the order of the study; strata where there are no arms.

    Rows of each comparison are the replicates in which both sides are complete. The reference of
    all arms is the first.

    Args:
        store: where the exports are.
        study: the trials.
        manifest: of its data set, to count labeled models.

    Raises:
        CheckpointError: an export is missing or damaged.
    """
    exports = Exports(store)
    trials: dict[str, list[TrialRecord]] = {}
    for trial in study.trials:
        trials.setdefault(canonical_json(_without_replicate(trial.spec)), []).append(trial)
    arms = [_Arm(exports, has_controls(study.spec), found) for found in trials.values()]
    return [arm.describe(arms[0], manifest) for arm in arms]


def count_labeled(manifest: Manifest, config: DataConfig) -> int:
    """Return how many models of a data set are labeled; the split seed does not matter.

    Raises:
        DataError: the data set has not the categories.
    """
    from ss3d.data.selection import select_categories
    from ss3d.data.splits import labeled_split

    counts = {
        name: manifest.counts.get(name, {}).get("train", 0)
        for name in select_categories(manifest, config.categories)
    }
    ids = {name: [f"{name}/{number}" for number in range(n)] for name, n in counts.items()}
    return len(labeled_split(ids, config.labeled_ratio, seed=0))


class _Arm:
    """The trials of an arm."""

    def __init__(self, exports: Exports, is_controlled: bool, trials: Sequence[TrialRecord]):
        self._exports, self._is_controlled = exports, is_controlled
        self._first = trials[0].spec
        self._configs = [trial.spec.config for trial in trials]
        self.label = _label(_without_replicate(self._first))
        self.complete = [trial for trial in trials if trial.state == "complete"]

    def labeled_ratio(self) -> float | None:
        ratios = {config.data.labeled_ratio for config in self._configs}
        return ratios.pop() if len(ratios) == 1 else None

    def describe(self, reference: _Arm, manifest: Manifest | None) -> ArmGains:
        exports, ratio = self._exports, self.labeled_ratio()
        values, means = self._metric("val/cd_l1"), self._metric("val/cd_l1_category_mean")
        is_counted = manifest is not None and ratio is not None
        return ArmGains(
            label=self.label,
            stratum=_without_replicate(self._first),
            labeled_ratio=ratio,
            num_labeled=count_labeled(manifest, self._configs[0].data) if is_counted else None,
            trials=tuple(trial.spec.trial for trial in self.complete),
            num_replicates=len({_replicate(trial.spec) for trial in self.complete}),
            cd_l1=fmean(values) if values else None,
            cd_l1_sd=stdev(values) if len(values) > 1 else None,
            category_mean=fmean(means) if means else None,
            over_control=self._pool(
                lambda spec: trial_over_control(exports, self._is_controlled, spec)
            ),
            over_pretrained=self._pool(lambda spec: trial_over_pretrained(exports, spec)),
            reference="" if reference is self else reference.label,
            over_reference=self._over(reference),
        )

    def last(self) -> list[_Row]:
        """Return the distances of all trials at their last epochs, where they were recorded."""
        found = [(t.spec, last_distances(self._exports, t.spec)) for t in self.complete]
        return [(_replicate(spec), row) for spec, row in found if row is not None]

    def _over(self, reference: _Arm) -> Comparison:
        if reference is self:
            return Comparison(None)
        if not _have_same_models([*self.last(), *reference.last()]):
            return Comparison(None, f"{reference.label} has other validation models")
        ours, theirs = _by_replicate(self.last()), _by_replicate(reference.last())
        common = sorted(ours.keys() & theirs.keys())
        if not common:
            return Comparison(None, f"no replicate is complete in it and in {reference.label}")
        pairs = [(r, {n: theirs[r][n] - v for n, v in ours[r].items()}) for r in common]
        lacking = len(ours) - len(common)
        reason = f"{lacking} of {len(ours)} replicates not complete in {reference.label}"
        return Comparison(_gain(pairs), reason if lacking else "")

    def _pool(self, pair: Callable[[TrialSpec], Paired]) -> Comparison:
        """Return the gain of all trials over their baselines."""
        rows: list[_Row] = []
        lacking: Counter[str] = Counter()
        for trial in self.complete:
            paired = pair(trial.spec)
            if paired.differences is None:
                lacking[paired.reason] += 1
            else:
                rows.append((_replicate(trial.spec), paired.differences))
        if not rows:
            return Comparison(None, "; ".join(lacking) or "no trial is complete")
        if not _have_same_models(rows):
            return Comparison(None, "its trials have different validation models")
        of = f"of {len(self.complete)} trials left out"
        reason = "; ".join(f"{count} {of}: {why}" for why, count in lacking.items())
        return Comparison(_gain(rows), reason)

    def _metric(self, name: str) -> list[float]:
        """Return a metric at the last epoch by replicate."""
        rows: dict[int, list[float]] = {}
        for trial in self.complete:
            if trial.reports and name in trial.reports[-1].metrics:
                value = trial.reports[-1].metrics[name]
                rows.setdefault(_replicate(trial.spec), []).append(value)
        return [fmean(row) for _, row in sorted(rows.items())]


def _gain(rows: Sequence[_Row]) -> PairedGain:
    """Return the gain from differences by model, all of the same models."""
    averages = _by_replicate(rows)
    names = sorted(rows[0][1])
    return paired_gain(np.array([[row[name] for name in names] for row in averages.values()]))


def _by_replicate(rows: Sequence[_Row]) -> dict[int, Distances]:
    """Return the mean over the trials of each replicate."""
    groups: dict[int, list[Distances]] = {}
    for replicate, row in sorted(rows, key=lambda pair: pair[0]):
        groups.setdefault(replicate, []).append(row)
    return {
        replicate: {name: fmean(row[name] for row in group) for name in group[0]}
        for replicate, group in groups.items()
    }


def _have_same_models(rows: Sequence[_Row]) -> bool:
    return all(row.keys() == rows[0][1].keys() for _, row in rows)


def _without_replicate(spec: TrialSpec) -> dict[str, Any]:
    return {path: value for path, value in spec.stratum.items() if path != _REPLICATE}


def _replicate(spec: TrialSpec) -> int:
    return int(spec.stratum.get(_REPLICATE, 0))


def _label(stratum: Mapping[str, Any]) -> str:
    others = {path: value for path, value in stratum.items() if path != _ARM}
    parts = [str(stratum[_ARM])] if _ARM in stratum else []
    return " ".join(parts + ([describe_values(others)] if others else [])) or "all trials"
