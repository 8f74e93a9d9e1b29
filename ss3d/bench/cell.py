"""One search that was measured: what every trial cost and reached, whoever ran it."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ss3d.bench.shape import METRIC, EpochSeconds
from ss3d.report.cost import seconds_of_trial
from ss3d.trial.records import Record, StudyRecord


class Ended(Record):
    """The end of a trial."""

    at: float
    """Time of day in seconds."""
    pretrain_s: float
    """Training seconds of the pretraining that this trial was the first to need; else 0."""
    start_s: float
    """Seconds of measuring the pretrained value."""
    semi_s: float
    """Training seconds of the trial's own teacher-student epochs."""
    value: float
    """The objective at the trial's last epoch."""
    epoch: int
    """The last teacher-student epoch; 0 of a trial that was stopped before."""

    @property
    def spent_s(self) -> float:
        """Return all training seconds that the trial caused."""
        return self.pretrain_s + self.start_s + self.semi_s


class Cell(Record):
    """One way of searching with one seed."""

    way: str
    seed: int
    conditions: dict[str, str | int]
    """Under which it was measured: data, slots, code, space."""
    num_epochs: int
    """Of a whole teacher-student phase."""
    num_pretrains: int
    """Pretrainings that were computed."""
    wall_s: float
    """From the call to the last result: Ray's start and all imports are in it."""
    trials: tuple[Ended, ...]
    """In the order of their ends."""

    @property
    def spent_s(self) -> float:
        """Return the training seconds of the whole search."""
        return math.fsum(trial.spent_s for trial in self.trials)

    @property
    def pretrain_s(self) -> float:
        """Return the training seconds of all pretraining."""
        return math.fsum(trial.pretrain_s for trial in self.trials)

    @property
    def complete(self) -> list[Ended]:
        """Return the trials that nothing stopped."""
        return [trial for trial in self.trials if trial.epoch == self.num_epochs]

    @property
    def best(self) -> float:
        """Return the lowest value of a complete trial."""
        return min(trial.value for trial in self.complete)

    def anytime(self) -> Iterator[tuple[float, float]]:
        """Yield training seconds spent and best value of a complete trial, whenever one ends."""
        spent_s, best = 0.0, math.inf
        for trial in self.trials:
            spent_s += trial.spent_s
            if trial.epoch == self.num_epochs:
                best = min(best, trial.value)
                yield spent_s, best

    def time_to(self, target: float) -> float:
        """Return the training seconds until a complete trial reached a value; infinity if none."""
        return next((spent_s for spent_s, best in self.anytime() if best <= target), math.inf)

    def epoch_seconds(self) -> EpochSeconds:
        """Return the mean seconds of a whole trial by part, from the trials that are complete."""
        whole = self.complete
        return EpochSeconds(
            pretrain_s=math.fsum(trial.pretrain_s for trial in whole) / len(whole),
            start_s=math.fsum(trial.start_s for trial in whole) / len(whole),
            semi_s=math.fsum(trial.semi_s for trial in whole) / len(whole),
        )


def ended_trials(record: StudyRecord) -> tuple[Ended, ...]:
    """Return a finished study's trials in the order of their ends.

    A pretrained state is charged to the first trial that ended and had started from it.
    """
    pretrains = {of.key: of.seconds for of in record.shared}
    ended = []
    for trial in sorted(record.trials, key=lambda t: t.result.finished_at if t.result else 0.0):
        assert trial.result is not None
        start_s = math.fsum(r.system["epoch_s"] for r in trial.reports if r.epoch == 0)
        ended.append(
            Ended(
                at=trial.result.finished_at,
                pretrain_s=pretrains.pop(trial.spec.pretrain_key, 0.0),
                start_s=start_s,
                semi_s=seconds_of_trial(trial) - start_s,
                value=trial.result.values[METRIC],
                epoch=max(r.epoch for r in trial.reports),
            )
        )
    return tuple(ended)
