"""A trial is a generator: train an epoch, yield its report, stop when nobody asks for more.

Read this file first. It knows no scheduler, tracker, callback or cluster: whoever iterates decides.
Early stopping is not iterating further; resuming is calling it again with a loaded state.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter
from typing import TYPE_CHECKING

from ss3d.training.evaluate import evaluate
from ss3d.training.numerics import apply_numerics
from ss3d.training.pretrain import pretrain_epoch
from ss3d.training.semi import semi_epoch
from ss3d.trial.costs import count_of, measure_system
from ss3d.trial.records import EpochReport
from ss3d.trial.state import TrialState

if TYPE_CHECKING:
    from ss3d.data.loader import TrialData


def run_trial(state: TrialState, data: TrialData) -> Iterator[EpochReport]:
    """Train until the trial is finished and yield a report after every epoch.

    Epoch 0 of the teacher-student phase trains nothing: it is the pretrained value.

    Args:
        state: new, pretrained or loaded; changed in place, so save it between two reports.
        data: of the configuration that the state carries.

    Raises:
        DivergedError: a loss or metric is not finite; nothing is yielded for that epoch.
    """
    while (phase := state.begin_epoch()) is not None:
        apply_numerics(state.config.numerics)
        started = perf_counter()
        train = train_epoch(state, data)
        values, per_model = validate(state, data)
        values |= count_of(state)
        if phase == "semi":
            values["val/gain"] = state.gain(values["val/cd_l1"])
        system = measure_system(state, perf_counter() - started)
        yield state.epoch_done(train | values, system, per_model)


def train_epoch(state: TrialState, data: TrialData) -> dict[str, float]:
    """Train the epoch that the state has begun and return the means of its steps."""
    config, student, optimizer = state.config, state.student, state.optimizer
    steps = state.epoch_steps()
    if len(steps) == 0:
        return {}
    if state.teacher is None:
        return pretrain_epoch(student, optimizer, data, config.pretrain, steps)
    return semi_epoch(student, state.teacher, optimizer, data, config.semi, steps)


def validate(state: TrialState, data: TrialData) -> tuple[dict[str, float], tuple[float, ...]]:
    """Evaluate the student, and the teacher if there is one, on the validation models.

    Returns:
        The metrics, and with a teacher the student's `cd_l1` on single models.
    """
    student = evaluate(state.student, data.validation, data.view)
    values = {f"val/{name}": value for name, value in student.metrics().items()}
    if state.teacher is None:
        return values, ()
    teacher = evaluate(state.teacher, data.validation, data.view).metrics()
    return values | {"val/cd_l1_teacher": teacher["cd_l1"]}, student.sample()
