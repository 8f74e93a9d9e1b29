"""A search from beginning to end: define, lease, reconcile, run, report."""

from __future__ import annotations

import logging
import math
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optuna.trial import FrozenTrial

from ss3d.errors import RefusedError
from ss3d.settings import Settings
from ss3d.store import layout
from ss3d.store.fenced import FencedStore
from ss3d.store.lease import take_lease
from ss3d.store.opening import open_store
from ss3d.store.protocol import Store
from ss3d.study.background import Background
from ss3d.study.board import Board
from ss3d.study.claims import Claims
from ss3d.study.definition import Request, Study, define_study, extend_budget
from ss3d.study.environment import check_closed, prepare_environment
from ss3d.study.frozen import frozen_trial
from ss3d.study.job import Place
from ss3d.study.journal import Journal
from ss3d.study.ledger import Ledger
from ss3d.study.live import Snapshot, take_snapshot, why_ended
from ss3d.study.prediction import expected_rates
from ss3d.study.proposer import Proposer, ready_keys
from ss3d.study.pruners import compared_epochs, make_rule
from ss3d.study.ray_watch import RayWatch
from ss3d.study.reconcile import Agreement, reconcile
from ss3d.study.recorder import Projector, Recorder
from ss3d.study.samplers import as_founder
from ss3d.study.session_log import SessionLog
from ss3d.study.sessions import SessionClock, read_past
from ss3d.study.spool import Spool
from ss3d.study.spool_watch import SpoolWatch
from ss3d.study.stopping import StopListener
from ss3d.study.uploader import drain
from ss3d.trial.records import TrialRecord
from ss3d.trial.spec import machine, versions

if TYPE_CHECKING:
    from ss3d.study.trainable import JobTrainable  # imports Ray

_LEAVING_S = 5.0
"""How long an interrupted search still tries to write what happened."""
_PAUSES = 50
"""Times that showing took until it is done again: of thousands of trials it takes a while."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Started:
    """What was found before anything ran."""

    study: Study
    num_finished: int
    """Trials with a result in the store."""
    num_told: int
    """Trials that are finished in Optuna's journal."""
    num_live: int
    """Trials that go on under their number."""
    num_committed: int
    """Results that were ready in the store and have been written now."""


@dataclass(frozen=True)
class Watcher:
    """Where a search shows itself; every call must be quick."""

    on_start: Callable[[Started], None] = lambda started: None
    on_update: Callable[[Snapshot], None] = lambda snapshot: None
    period_s: float = 0.5


def search(
    request: Request,
    settings: Settings,
    projector: Projector | None,
    watcher: Watcher,
    trainable: type[JobTrainable] | None = None,
) -> Snapshot:
    """Run a search until its budget is used; the store then has one result per trial.

    Args:
        request: what to search, or which study to resume.
        settings: where the store, Optuna's journal and Ray are.
        projector: shows records elsewhere.
        watcher: is told how it goes.
        trainable: runs the jobs; None trains.

    Raises:
        ConfigError: the space or the request is not valid.
        RefusedError: the name is taken, another driver runs this study, Ray asks for no token, or
            not for ours.
        ServiceError: store or cluster are away.
        KeyboardInterrupt: SIGINT or SIGTERM; everything can be resumed.
    """
    _check_cluster(settings)
    store = open_store(settings.store_address)
    study = define_study(store, request, is_local=not settings.ray_address)
    key, began = layout.study(study.name, "driver.lease"), store.now()
    interrupted, lost = threading.Event(), threading.Event()

    def on_lost() -> None:
        lost.set()
        interrupted.set()

    with take_lease(store, key, f"study {study.name}", settings.lease_s, on_lost) as lease:
        fenced = FencedStore(store, lease)
        study = extend_budget(fenced, study, request.trials)
        session = _Session(study, fenced, settings, projector, watcher, interrupted)
        try:
            return session.run(request.slots, began, trainable)
        except KeyboardInterrupt:
            if lost.is_set():
                raise RefusedError(f"study {study.name} was taken over by another driver") from None
            raise


def _check_cluster(settings: Settings) -> None:
    """Check that Ray can be joined, and is closed to others, before a study takes its name."""
    check_closed(settings.ray_address)
    if settings.ray_address:
        prepare_environment(settings.home, settings.ray_address)
        from ss3d.study.session import check_joinable  # Ray reads the environment at its import

        check_joinable(settings.ray_address)


class _Session:
    """A study with its lease held: reconciles, runs, and leaves everything resumable."""

    def __init__(
        self,
        study: Study,
        store: Store,
        settings: Settings,
        projector: Projector | None,
        watcher: Watcher,
        interrupted: threading.Event,
    ) -> None:
        self._study = study
        self._store = store
        self._settings = settings
        self._watcher = watcher
        self._interrupted = interrupted
        self._started = time.monotonic()
        self._next_show = 0.0
        objectives = study.space.objectives
        agreement = reconcile(store, study.name, objectives)
        directions = [one.direction for one in objectives.all]
        journal = Journal(settings.study_journal, study.name, directions)
        rates = expected_rates(store, study.spec, is_gpu=study.space.resources.gpus > 0)
        self._ledger = Ledger(study.space, read_past(store, study.name), expected=rates)
        for record in agreement.shared:
            self._ledger.learn(record)
        rule, decided = make_rule(study.space), dict(agreement.decided)
        self._board = Board(study.space, rule, study.target, decided, self._ledger)
        self._clock = SessionClock(self._board, self._ledger, store, study.name)
        data_hash = study.spec["data"]["content_hash"]
        self._proposer = Proposer(self._board, store, study.name, data_hash, _earlier(study))
        self._claims = Claims(self._board, store)
        self._spool = Spool(settings.cache_dir, store.address, settings.spool_bytes)
        self._spool_watch = SpoolWatch(self._board, self._spool)
        self._recorder = Recorder(self._board, store, journal, projector)
        self._log = SessionLog(store, study.name)
        if projector:
            _show_earlier(study, agreement, projector)
        self._begin(agreement, journal)

    def run(
        self, slots: int | None, since: float, trainable: type[JobTrainable] | None
    ) -> Snapshot:
        """Run until no job is left; write all that happened in any case.

        Args:
            slots: jobs at once, wanted by the user.
            since: when the session began, by the store's clock.
            trainable: runs the jobs; None trains.
        """
        interrupt, name = self._interrupted.set, self._study.name
        self._listener = StopListener(self._board, self._store, name, since, interrupt)
        for thread in self._threads:
            thread.start()
        facts = {"machine": machine(), "versions": versions()}
        told = f"session begins: {self._num_before} of {self._study.target} trials finished"
        log.info(told, extra={"facts": facts})
        try:
            if not self._board.is_exhausted():
                self._run_jobs(slots, trainable)
        except BaseException as error:
            if not isinstance(error, KeyboardInterrupt):
                facts = {"failure": str(error), "traceback": traceback.format_exc()}
                log.info("session fails: %s", error, extra={"facts": facts})
            self._close(reason="")
            raise
        self._close(why_ended(take_snapshot(self._board, self._started, self._num_before)))
        if self._failure:
            raise self._failure
        drain(self._spool, self._store, _LEAVING_S)
        snapshot = take_snapshot(self._board, self._started, self._num_before)
        self._watcher.on_update(snapshot)
        return snapshot

    def _close(self, reason: str) -> None:
        self._proposer.close()
        self._claims.close(_LEAVING_S)
        self._recorder.close(self._interrupted.is_set, _LEAVING_S)
        self._spool_watch.close()
        self._listener.close(_LEAVING_S)
        self._clock.close("" if self._failure else reason)
        log.info("session ends: %s", self._failure or reason or "interrupted")
        self._log.close()

    def _begin(self, agreement: Agreement, journal: Journal) -> None:
        """Put all trials of earlier sessions on the board and say what was found."""
        objectives = self._study.space.objectives
        told = journal.agree([frozen_trial(r.spec, r.result, objectives) for r in agreement.trials])
        for record in sorted(agreement.trials, key=_end):
            ready = ready_keys(self._store, record.spec)
            if record.result:
                self._board.add_finished(record.spec, record.result, ready)
            else:
                self._board.add(record.spec, ready, record.reports)
        self._num_before = sum(record.result is not None for record in agreement.trials)
        self._watcher.on_start(
            Started(
                study=self._study,
                num_finished=self._num_before,
                num_told=told,
                num_live=len(agreement.trials) - self._num_before,
                num_committed=agreement.num_committed,
            )
        )

    def _run_jobs(self, slots: int | None, trainable: type[JobTrainable] | None) -> None:
        prepare_environment(self._settings.home, self._settings.ray_address)
        from ss3d.study.session import head_address, ray_session, run_jobs  # Ray reads it at import

        resources = self._study.space.resources
        place = Place(
            study=self._study.name,
            store=self._store.address,
            data=open_store(self._study.data).address,
            cache_dir=str(self._settings.cache_dir),
            gpus=resources.gpus,
            cache_bytes=self._settings.cache_bytes,
            spool_bytes=self._settings.spool_bytes,
            compared_epochs=compared_epochs(self._study.space),
        )
        watch = RayWatch(self._board)
        try:
            with ray_session(self._settings, resources, slots) as fitting:
                if self._settings.ray_address:
                    watch.head = head_address()
                watch.start()
                self._board.widen(fitting)
                run_jobs(self._board, place, self._interrupted, self._beat, trainable)
        except KeyboardInterrupt:
            self._interrupted.set()
            if self._failure:
                raise self._failure from None
            raise
        finally:
            watch.close()

    def _beat(self) -> None:
        """Show the search now and then; leave if a thread cannot go on."""
        now = time.monotonic()
        if now > self._next_show:
            self._watcher.on_update(take_snapshot(self._board, self._started, self._num_before))
            took_s = time.monotonic() - now
            self._next_show = now + max(self._watcher.period_s, _PAUSES * took_s)
        if self._failure:
            self._interrupted.set()

    @property
    def _threads(self) -> tuple[Background, ...]:
        """Return all that works beside Tune's loop; first what no trial must start before."""
        return (
            self._log,
            self._listener,
            self._proposer,
            self._claims,
            self._recorder,
            self._clock,
            self._spool_watch,
        )

    @property
    def _failure(self) -> Exception | None:
        return next((thread.failure for thread in self._threads if thread.failure), None)


def _end(record: TrialRecord) -> float:
    """Return when a trial ended; what is open comes last."""
    return record.result.finished_at if record.result else math.inf


def _earlier(study: Study) -> list[FrozenTrial]:
    """Return the trials of other studies that the sampler learns from."""
    objectives = study.space.objectives
    return [as_founder(frozen_trial(r.spec, r.result, objectives)) for r in study.warm]


def _show_earlier(study: Study, agreement: Agreement, projector: Projector) -> None:
    """Show what earlier sessions finished: the one that did may have died before it was shown."""
    projector.study(study.spec)
    for shared in agreement.shared:
        if shared.complete:
            projector.shared(shared)
    for record in agreement.trials:
        if record.result:
            projector.trial(record)
