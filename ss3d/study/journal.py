"""The study as an Optuna journal file, for everybody who looks at it with Optuna's tools.

It is a copy of the store: nothing is decided from it, and it is written anew when it disagrees.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import FrozenTrial

from ss3d.errors import CheckpointError

log = logging.getLogger(__name__)

_LOCK_GRACE_S = 10
"""After how long the file's lock counts as left behind by a killed process."""


def forget_study(path: Path, name: str) -> bool:
    """Remove a study from a journal file; return whether it was there.

    A file that cannot be used is left as it is, with a warning: the next search writes it anew.
    """
    if not path.exists():
        return False
    try:
        optuna.delete_study(study_name=name, storage=_storage(path))
    except KeyError:
        return False
    except Exception as error:  # noqa: BLE001 - whatever a damaged file makes Optuna raise
        log.warning("%s cannot be used, so study %s stays in it: %r", path, name, error)
        return False
    return True


def read_trials(path: Path, name: str) -> list[FrozenTrial] | None:
    """Return a study's trials in a journal file, in order; None if it has no such study.

    Raises:
        CheckpointError: the file cannot be used.
    """
    if not path.exists():
        return None
    try:
        return optuna.load_study(study_name=name, storage=_storage(path)).trials
    except KeyError:
        return None
    except Exception as error:
        raise CheckpointError(f"Optuna's journal {path} cannot be used: {error!r}") from error


class Journal:
    """The Optuna study of one study of ours; trial t00017 has number 17.

    No call raises. A file that cannot be used is moved aside and written anew; an error after that
    ends the copying, with one warning. `agree` comes first.

    Args:
        path: the journal file, which all studies of a home share.
        name: of the study.
        directions: of the objectives in order.
    """

    def __init__(
        self, path: Path, name: str, directions: Sequence[Literal["minimize", "maximize"]]
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._path, self._name, self._directions = path, name, list(directions)
        self._study: optuna.Study | None = None
        """None while nothing is copied."""

    def agree(self, trials: Sequence[FrozenTrial]) -> int:
        """Make the journal hold exactly these trials, in order of their numbers.

        Returns:
            How many of them are finished in the journal.
        """
        try:
            self._study = self._copy(trials)
        except Exception as error:  # noqa: BLE001 - whatever a damaged file makes Optuna raise
            aside = self._path.with_name(f"{self._path.name}.damaged-{time.time_ns()}")
            log.warning("%s cannot be used (%r): moved to %s", self._path, error, aside.name)
            with self._until_an_error():
                self._path.replace(aside)
                self._study = self._copy(trials)
        return sum(t.state.is_finished() for t in trials) if self._study else 0

    def start(self, number: int, trial: FrozenTrial) -> None:
        """Add a running trial, unless it is there; trials start in the order of their numbers."""
        with self._until_an_error():
            if self._study and number >= len(self._study.get_trials(deepcopy=False)):
                self._study.add_trial(trial)

    def finish(self, number: int, trial: FrozenTrial) -> None:
        """Tell a trial's end; repeated tells change nothing."""
        with self._until_an_error():
            if self._study:
                self._tell(number, trial)

    def _copy(self, trials: Sequence[FrozenTrial]) -> optuna.Study:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._storage = _storage(self._path)
        study = self._open()
        held = [facts(t) for t in study.get_trials(deepcopy=False)]
        if held != [facts(t) for t in trials]:
            optuna.delete_study(study_name=self._name, storage=self._storage)
            study = self._open()
            study.add_trials(trials)
        return study

    def _open(self) -> optuna.Study:
        return optuna.create_study(
            storage=self._storage,
            study_name=self._name,
            directions=self._directions,
            load_if_exists=True,
        )

    def _tell(self, number: int, trial: FrozenTrial) -> None:
        storage = self._storage
        study_id = storage.get_study_id_from_name(self._name)
        trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, number)
        if storage.get_trial(trial_id).state.is_finished():
            return
        for epoch, value in sorted(trial.intermediate_values.items()):
            storage.set_trial_intermediate_value(trial_id, epoch, value)
        for metric, excess in trial.constraints.items():
            storage.set_trial_system_attr(trial_id, f"constraints:{metric}", excess)
        storage.set_trial_state_values(trial_id, trial.state, trial.values)

    @contextmanager
    def _until_an_error(self) -> Iterator[None]:
        """Stop copying at the first error: the store has everything, and the search goes on."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the copy decides nothing
            self._study = None
            log.warning("%s is not written any more: %r", self._path, error)


def _storage(path: Path) -> JournalStorage:
    lock = JournalFileSymlinkLock(str(path), grace_period=_LOCK_GRACE_S)
    return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))


def facts(trial: FrozenTrial) -> tuple[object, ...]:
    """Return what the journal and the store must agree in."""
    told = (trial.state, trial.params, trial.values, trial.intermediate_values)
    return *told, trial.constraints
