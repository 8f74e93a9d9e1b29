"""A finished study replayed in simulated time: the real board decides, an event queue trains.

Every job takes the seconds that its epochs took, and brings the values that they brought. What the
driver, Ray and the store need besides takes no time here.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, get_args

from optuna.trial import FrozenTrial

from ss3d.store import layout
from ss3d.study.board import Board
from ss3d.study.events import Decided, Ended
from ss3d.study.job import Job, JobKind, Progress
from ss3d.study.ledger import Ledger, Past
from ss3d.study.pruners import check_compared, make_rule
from ss3d.study.rungs import Decision
from ss3d.study.space import Space
from ss3d.trial.records import EpochReport, StudyRecord, TrialRecord, TrialResult, TrialSpec

History = Callable[[], Sequence[FrozenTrial]]


class Port(Protocol):
    """Who hands out jobs and hears of them: the board, or Tune's plug-ins in front of it."""

    def take(self, tune_id: str) -> Job | None:
        """Return the next job, None while there is none."""

    def report(self, tune_id: str, progress: Progress) -> bool:
        """Take a progress; return whether the job is stopped."""

    def end(self, tune_id: str, progress: Progress) -> None:
        """Take the end of a job."""


@dataclass(frozen=True)
class Direct:
    """Asks the board itself."""

    board: Board

    def take(self, tune_id: str) -> Job | None:
        """Return the next job, None while there is none."""
        return self.board.take(tune_id)

    def report(self, tune_id: str, progress: Progress) -> bool:
        """Take a progress; return whether the job is stopped."""
        decision = self.board.report(tune_id, progress)
        return decision is not None and decision.stop

    def end(self, tune_id: str, progress: Progress) -> None:
        """Take the end of a job."""
        self.board.end(tune_id, progress)


class Chooser(Protocol):
    """Says which recorded trial is the next one; each at most once."""

    def choose(self, number: int, history: History) -> tuple[TrialRecord, TrialSpec]:
        """Return the recorded trial, and its spec under its new number.

        Args:
            number: of the trial in the simulated study.
            history: returns the trials so far, as a sampler sees them.
        """


@dataclass(frozen=True)
class TrialEnd:
    """The end of a simulated trial."""

    spec: TrialSpec
    source: str
    """The recorded trial whose curve it is."""
    result: TrialResult
    at_s: float
    """Simulated seconds since the study began."""
    is_censored: bool
    """It would have gone on, but the recorded trial was stopped there: nobody knows its rest."""


@dataclass(frozen=True)
class Outcome:
    """What came of a simulated study."""

    slots: int
    ends: tuple[TrialEnd, ...]
    """In the order of their ends."""
    decisions: dict[tuple[str, int], Decision]
    """By trial and epoch."""
    seconds: dict[JobKind, float]
    """Of training."""
    makespan_s: float
    """Simulated seconds until the last job ended."""
    most_at_once: int
    """Jobs that ran at the same time."""
    refused: str
    """Why the budget did not let everything start; empty if it did."""


@dataclass
class _Run:
    """A job that occupies a slot."""

    job: Job
    coming: deque[EpochReport]
    state: str
    """How its recorded counterpart ended."""
    reason: str
    is_too_large: bool


class Simulation:
    """One replay of a study.

    Args:
        study: whose curves are replayed; each of its trials has a result.
        space: with the sampler, the pruner and the budget to simulate.
        target: number of trials in the budget.
        slots: jobs that run at once.
        chooser: turns proposals into recorded trials.

    Raises:
        RefusedError: the pruner compares what the study does not carry.
    """

    def __init__(
        self, study: StudyRecord, space: Space, target: int, slots: int, chooser: Chooser
    ) -> None:
        check_compared(space, study.trials)
        self.now = 0.0
        ledger = Ledger(space, Past(), lambda: self.now)
        self.board = Board(space, make_rule(space), target, {}, ledger)
        self.board.widen(slots)
        self._shared = {of.key: of for of in study.shared}
        self._chooser = chooser
        self._sources: dict[str, TrialRecord] = {}
        self._running: dict[str, _Run] = {}
        self._queue: list[tuple[float, int, str]] = []
        self._counter = itertools.count()
        self._censored: set[str] = set()
        self._ends: list[TrialEnd] = []
        self._decisions: dict[tuple[str, int], Decision] = {}
        self._seconds: dict[JobKind, float] = dict.fromkeys(get_args(JobKind), 0.0)
        self._most_at_once = 0

    def run(self, port: Port | None = None) -> Outcome:
        """Replay until no job is left.

        Args:
            port: stands in front of the board; None asks the board itself.
        """
        port = port or Direct(self.board)
        self._start_jobs(port)
        while self._queue:
            self.now, _, name = heapq.heappop(self._queue)
            self._advance(port, name)
            self._commit()
            self._start_jobs(port)
        assert self.board.is_exhausted(), "jobs are left that nothing lets start"
        return Outcome(
            slots=self.board.slots,
            ends=tuple(self._ends),
            decisions=self._decisions,
            seconds=self._seconds,
            makespan_s=self.now,
            most_at_once=self._most_at_once,
            refused=self.board.why_refused(),
        )

    def _start_jobs(self, port: Port) -> None:
        """Propose what there is room for, and let jobs start while there are slots."""
        while True:
            self._propose()
            name = f"job{next(self._counter)}"
            job = port.take(name)
            if job is None:
                return
            self.board.place(name)
            self._running[name] = self._run_of(job)
            self._most_at_once = max(self._most_at_once, len(self._running))
            self._await(name)

    def _propose(self) -> None:
        while (number := self.board.next_number()) is not None:
            source, spec = self._chooser.choose(number, self.board.history)
            self._sources[spec.trial] = source
            unknown = {key for _, key in spec.shared() if key not in self._shared}
            self.board.add(spec, unknown)
            self._commit()

    def _run_of(self, job: Job) -> _Run:
        source = self._sources[job.trial]
        assert source.result is not None, "a trial without a result is no part of the replay"
        is_too_large = source.result.is_too_large
        if job.kind != "trial":
            shared = self._shared[job.key]
            state = "complete" if shared.complete else "failed"
            reason = "it failed in the recorded study too"
            return _Run(job, deque(shared.reports), state, reason, is_too_large)
        state, reason = source.result.state, source.result.reason
        return _Run(job, deque(source.reports), state, reason, is_too_large)

    def _await(self, name: str) -> None:
        """Let the next epoch of a job run."""
        coming = self._running[name].coming
        epoch_s = coming[0].system["epoch_s"] if coming else 0.0
        heapq.heappush(self._queue, (self.now + epoch_s, next(self._counter), name))

    def _advance(self, port: Port, name: str) -> None:
        """Bring a job's next epoch; the last one ends it as it ended in the record."""
        run = self._running[name]
        reports = (run.coming.popleft(),) if run.coming else ()
        self._seconds[run.job.kind] += sum(report.system["epoch_s"] for report in reports)
        is_last = not run.coming
        if is_last and run.state == "complete":
            return self._end(port, name, Progress(1, reports, is_done=True))
        progress = Progress(1, reports)
        if port.report(name, progress):
            return self._end(port, name, progress)
        if not is_last:
            return self._await(name)
        if run.state == "failed":
            end = Progress(1, (), True, failure=run.reason, is_too_large=run.is_too_large)
            return self._end(port, name, end)
        self._censored.add(run.job.trial)
        return self._end(port, name, progress)

    def _end(self, port: Port, name: str, progress: Progress) -> None:
        del self._running[name]
        port.end(name, progress)

    def _commit(self) -> None:
        """Do what the recorder does: from here on the sampler sees what ended."""
        while not self.board.events.empty():
            event = self.board.events.get()
            if isinstance(event, Decided):
                self._decisions[event.trial, event.epoch] = event.decision
            elif isinstance(event, Ended):
                spec, result = self.board.ended(event.trial)
                self.board.committed(event.trial, result)
                source = self._sources[event.trial].spec.trial
                is_censored = event.trial in self._censored
                self._ends.append(TrialEnd(spec, source, result, self.now, is_censored))


class InOrder:
    """Takes the recorded trials as they were proposed.

    Args:
        trials: of the recorded study.
    """

    def __init__(self, trials: Sequence[TrialRecord]) -> None:
        self._left = deque(trials)

    def choose(self, number: int, history: History) -> tuple[TrialRecord, TrialSpec]:
        """Return the next one."""
        source = self._left.popleft()
        return source, source.spec.model_copy(update={"trial": layout.trial_id(number)})
