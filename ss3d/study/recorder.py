"""The threads that write: results, decisions, Optuna's journal, and what MLflow shows.

The first is the only writer of results. Nothing in Tune's loop waits for it.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Protocol

from ss3d.config import canonical_json
from ss3d.store import layout
from ss3d.store.protocol import Store
from ss3d.study.background import Background
from ss3d.study.board import Board
from ss3d.study.events import Decided, Ended, Event, Reported, Sealed, SharedEvent
from ss3d.study.frozen import frozen_trial
from ss3d.study.journal import Journal
from ss3d.study.patience import patiently, put_once
from ss3d.study.rungs import Decision
from ss3d.trial.records import SCHEMA, SharedRecord, TrialRecord

_POLL_S = 0.2

log = logging.getLogger(__name__)


class Projector(Protocol):
    """Shows records elsewhere; takes the whole record each time and never waits."""

    def study(self, study_spec: Mapping[str, Any]) -> None:
        """Show a study, to which all later records belong."""

    def trial(self, record: TrialRecord) -> None:
        """Show a trial as it is now."""

    def shared(self, record: SharedRecord) -> None:
        """Show a shared pretraining or control as it is now."""


class Recorder(Background):
    """Writes what happened on the board, in order.

    Args:
        board: whose events are written.
        store: takes results and decisions.
        journal: Optuna's copy.
        projector: shows records; None shows nothing.
    """

    def __init__(
        self, board: Board, store: Store, journal: Journal, projector: Projector | None
    ) -> None:
        super().__init__("recorder")
        self._board = board
        self._store = store
        self._journal = journal
        self._projector = projector
        self._copies: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._copier = threading.Thread(target=self._copy, name="journal", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        super().start()
        self._copier.start()

    def close(self, hurry: Callable[[], bool], patience_s: float) -> None:
        """Write all that happened, then stop.

        Args:
            hurry: asked again and again; True gives up on a store that stays away.
            patience_s: seconds to go on after that.
        """
        self._board.events.put(None)
        while self._thread.is_alive() and not hurry():
            self._thread.join(_POLL_S)
        self._thread.join(patience_s)
        self._ended.set()
        self._thread.join()
        self._copies.put(None)
        self._copier.join()

    def _copy(self) -> None:
        """Keep Optuna's copy in a thread of its own: no result and no proposal waits for it."""
        while (copy := self._copies.get()) is not None:
            copy()

    def _work(self) -> None:
        while (event := self._board.events.get()) is not None:
            self._write(event)

    def _write(self, event: Event) -> None:
        match event:
            case Sealed(trial):
                frozen = self._board.trials[trial].frozen
                number = layout.trial_number(trial)
                self._copies.put(lambda: self._journal.start(number, frozen))
                _tell(trial, f"proposed: {_shown(self._board.trials[trial].spec.params)}")
                self._show(trial)
            case Reported(trial):
                self._show(trial)
            case Decided(trial, epoch, decision):
                self._put_decision(trial, epoch, decision)
            case Ended(trial):
                self._commit(trial)
            case SharedEvent(key):
                self._show_shared(key)

    def _show(self, trial: str) -> None:
        if self._projector:
            self._projector.trial(self._board.record(trial))

    def _show_shared(self, key: str) -> None:
        record = self._board.shared_record(key)
        if record.complete:
            log.info("%s %s is ready", record.kind, key[:12])
        if self._projector:
            self._projector.shared(record)

    def _commit(self, trial: str) -> None:
        """Write a result: from here on the trial is finished."""
        spec, result = self._board.ended(trial)
        key = layout.trial(spec.study, trial, "result.json")
        patiently(lambda: put_once(self._store, key, result.to_json()), self._ended)
        self._board.committed(trial, result)
        _tell(trial, f"{result.state}: {result.reason or _shown(result.values)}")
        frozen = frozen_trial(spec, result, self._board.space.objectives)
        number = layout.trial_number(trial)
        self._copies.put(lambda: self._journal.finish(number, frozen))
        self._show(trial)

    def _put_decision(self, trial: str, epoch: int, decision: Decision) -> None:
        study = self._board.trials[trial].spec.study
        key = decision_key(study, trial, epoch)
        data = canonical_json({"schema": SCHEMA, **asdict(decision)}).encode()
        patiently(lambda: put_once(self._store, key, data), self._ended)


def _tell(trial: str, message: str) -> None:
    log.info("%s %s", trial, message, extra={"facts": {"trial": trial}})


def _shown(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in values.items())


def decision_key(study: str, trial: str, epoch: int) -> str:
    """Return the key of a decision: `decisions/t00017-e000012.json`."""
    return layout.study(study, "decisions", f"{trial}-e{epoch:06d}.json")
