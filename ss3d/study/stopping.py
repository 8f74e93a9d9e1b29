"""`ss3d stop`: a request in the store, and the driver's thread that listens for it.

A request to stop a study is for the session that runs when it is made: a later one removes it
unread. One to stop a trial holds until the trial has a result, whoever drives it then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress

from ss3d.errors import CheckpointError, ConflictError, RefusedError, ServiceError
from ss3d.store import layout
from ss3d.store.lease import is_held
from ss3d.store.protocol import Store
from ss3d.study.background import Background
from ss3d.study.board import Board
from ss3d.trial.history import load_study_spec, load_trial_record
from ss3d.trial.records import Record

_POLL_S = 1.5

log = logging.getLogger(__name__)


class StopRequest(Record):
    """What the store keeps of a request; its key says what is to be stopped."""

    asked_at: float
    """By the store's clock."""


def ask_to_stop(store: Store, study: str, trial: str = "") -> None:
    """Ask the driver of a study to end it, or to end one of its trials; asking twice is once.

    Raises:
        ConfigError: there is no such study or trial.
        RefusedError: nobody runs the study, or the trial has ended already.
    """
    load_study_spec(store, study)
    if trial and (result := load_trial_record(store, study, trial).result):
        raise RefusedError(f"trial {study}/{trial}: nothing to stop, it is {result.state} already")
    if not is_driven(store, study):
        raise RefusedError(f"study {study}: nothing to stop, nobody runs it")
    request = StopRequest(asked_at=store.now())
    with suppress(ConflictError):
        store.put_new(layout.stop_request(study, trial), request.to_json())


def is_driven(store: Store, study: str) -> bool:
    """Return whether a driver runs a study, as far as can be known from here."""
    return is_held(store, layout.study(study, "driver.lease"))


class StopListener(Background):
    """Polls the store for requests, in a thread of its own.

    Args:
        board: of the session; ends trials.
        store: where requests are; the study's lease is held.
        study: the study's name.
        since: when the session began, by the store's clock: what was asked before of the study was
            for an earlier one.
        interrupt: ends the session as Ctrl-C does.
    """

    def __init__(
        self, board: Board, store: Store, study: str, since: float, interrupt: Callable[[], None]
    ) -> None:
        super().__init__("stop listener")
        self._board = board
        self._store = store
        self._study = study
        self._since = since
        self._interrupt = interrupt

    def start(self) -> None:
        """Obey what was asked before, then begin to listen: so no unwanted trial starts again."""
        self._listen()
        super().start()

    def close(self, patience_s: float) -> None:
        """Remove the requests of trials that have ended, then listen no longer.

        Args:
            patience_s: how long to wait for a store that is away.
        """
        self._ended.set()
        self._thread.join(patience_s)

    def _work(self) -> None:
        while not self._ended.wait(_POLL_S):
            self._listen()
        self._listen()

    def _listen(self) -> None:
        """Obey all requests that there are; a store that is away is asked again later."""
        try:
            for key in list(self._store.list(layout.study(self._study, "requests") + "/")):
                if self._is_settled(key):
                    self._store.delete(key)
        except ServiceError as error:
            log.info("cannot look for requests now: %s", error)

    def _is_settled(self, key: str) -> bool:
        """Obey a request; return whether nothing is left to do for it."""
        name = key.rpartition("/")[2].removesuffix(".json")
        blob = self._store.get(key)
        if blob is None:
            return False
        try:
            request = StopRequest.from_json(blob.data)
        except CheckpointError as error:
            log.warning("%s is not obeyed: %s", key, error)
            return True
        if name != "study":
            return self._board.stop(name)
        if request.asked_at >= self._since:
            self._interrupt()
        return True
