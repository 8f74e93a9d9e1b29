"""What the session knows: which jobs wait, run and are done. Memory only, shared by its threads.

Tune's loop takes jobs and brings progress; the proposer adds trials; the recorder commits results.
None of them waits here for network or disk.
"""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set

from optuna.trial import FrozenTrial

from ss3d.study.budget import Spent
from ss3d.study.deaths import Death
from ss3d.study.events import Event
from ss3d.study.frozen import frozen_trial
from ss3d.study.job import Job, Progress
from ss3d.study.judge import Judge
from ss3d.study.ledger import Ledger
from ss3d.study.room import Room
from ss3d.study.rungs import Decision, Rule
from ss3d.study.space import Space
from ss3d.study.standings import Standings
from ss3d.trial.records import EpochReport, SharedRecord, TrialRecord, TrialResult, TrialSpec

_DEATHS = 3
"""Workers of a job that may die one after the other without a new epoch."""


class Board:
    """The session's state.

    Args:
        space: what is searched.
        rule: which trials go on.
        target: number of trials in the budget.
        decided: stored decisions by trial and epoch; they hold again after a resume.
        ledger: keeps the books of the budget.
    """

    def __init__(
        self,
        space: Space,
        rule: Rule,
        target: int,
        decided: dict[tuple[str, int], Decision],
        ledger: Ledger,
    ) -> None:
        self.space = space
        self.target = target
        self.live: dict[str, Job] = {}
        self.room = Room(space.resources, self.live)
        self.num_moved = 0
        """Jobs that this session moved from slow nodes."""
        self.events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self.changed = threading.Condition()
        self.is_alone = True
        """Whether no other driver shares the store, so that shared jobs need no claim."""
        self.paused = ""
        """Why workers of this node wait in the middle of their jobs, if they do."""
        self.loss = ""
        """Why a job was lost for good by nothing of its own, if one was: the session must end."""
        self._deaths: Counter[str] = Counter()
        self._judge = Judge(space, rule, decided, self.events.put)
        self._ledger = ledger
        self._standings = Standings(space, target, self._judge, ledger, self.events.put)
        self.trials = self._standings.trials
        self.shared = self._standings.shared
        self._backlog = self._standings.backlog

    @property
    def slots(self) -> int:
        """Return how many trials, or jobs that are as large, run at once."""
        return self.room.slots

    def next_number(self) -> int | None:
        """Return the number of the trial to propose now; None if enough of them wait."""
        with self.changed:
            is_full = self._standings.num_open > self.slots
            has_room = not is_full and self._backlog.may_propose(self.spent())
            return len(self.trials) if has_room else None

    def history(self) -> Sequence[FrozenTrial]:
        """Return all trials as the sampler sees them, in the order of their numbers.

        The newest one counts as running even if it ended: with one slot the next is proposed while
        it runs, and whether it ends first, in a slow store or by an early failure, is luck.
        """
        with self.changed:
            entries = [self.trials[trial] for trial in sorted(self.trials)]
            newest = [frozen_trial(e.spec, None, self.space.objectives) for e in entries[-1:]]
            return [*(entry.frozen for entry in entries[:-1]), *newest]

    def add(self, spec: TrialSpec, ready: Set[str], reports: Iterable[EpochReport] = ()) -> None:
        """Add a trial that was sealed and waits for a worker.

        Args:
            spec: as sealed.
            ready: keys of pretrained states and controls that are in the store.
            reports: that an earlier attempt left in the store.
        """
        with self.changed:
            self._standings.add(spec, ready, reports)
            self.changed.notify_all()

    def add_finished(self, spec: TrialSpec, result: TrialResult, ready: Set[str]) -> None:
        """Add a trial that an earlier session finished, in the order of their ends.

        If it is complete, it still needs its control.
        """
        with self.changed:
            self._standings.add_finished(spec, result, ready)

    def widen(self, slots: int) -> None:
        """Set how many trials, or jobs that are as large, run at once."""
        with self.changed:
            self.room.slots = slots
            self.changed.notify_all()

    def is_exhausted(self) -> bool:
        """Return whether no job will ever come again."""
        with self.changed:
            if self.live or any(True for _ in self.jobs()):
                return False
            return not self._backlog.may_propose(self.spent())

    def is_ending(self) -> bool:
        """Return whether jobs run, and none will follow unless one of them moves."""
        with self.changed:
            if not self.live or len(self.trials) < self.target or not self._backlog.is_empty():
                return False
            return not any(map(self._may_bring_more, self.live.values()))

    def spent(self) -> Spent:
        """Return what the study used of its budget, with what running jobs will still need.

        Running jobs are left out if no hours are limited: hundreds of them are slow to look at.
        """
        with self.changed:
            is_timed = self.space.budget.is_timed
            running = (*self.live.values(), *self._backlog.begun) if is_timed else ()
            return self._ledger.spent([self._standings.work(job) for job in running])

    def device_hours(self) -> float:
        """Return what was trained so far."""
        with self.changed:
            return self._ledger.device_hours

    def num_reused(self) -> int:
        """Return how many trials began from a pretrained state that was there already."""
        with self.changed:
            keys = [entry.spec.pretrain_key for entry in self.trials.values() if entry.reports]
            return len(keys) - len(self._ledger.trained(set(keys)))

    def why_refused(self) -> str:
        """Return why the budget lets not everything start that is left; empty if it does."""
        with self.changed:
            return self._backlog.why_refused(self.spent())

    def wait_idle(self, longest_s: float) -> bool:
        """Return False if a job runs; else wait until something changes, and return True."""
        with self.changed:
            if not self.live:
                self.changed.wait(longest_s)
            return not self.live

    def take(self, tune_id: str) -> Job | None:
        """Return the next job; None while all wait for something or there is no room for it."""
        with self.changed:
            free = self.room.free()
            if self.loss or free <= 0:
                return None
            job = self._backlog.pop(
                self.spent(), self.is_alone, lambda job: self.room.fits(job.kind, free)
            )
            if job:
                self.live[tune_id] = job
                self.room.await_place(tune_id)
            return job

    def place(self, tune_id: str) -> None:
        """Take note that Ray found a place for a job."""
        with self.changed:
            self.room.settle(tune_id)

    def jobs(self) -> Iterator[Job]:
        """Yield the jobs that may start, in order, while the caller holds `changed`."""
        return self._backlog.jobs(self.spent())

    def end_elsewhere(self, job: Job, reason: str) -> None:
        """Take the end of a shared job that did not run here.

        Args:
            job: the shared job.
            reason: why it cannot be made; empty if it is made.
        """
        with self.changed:
            self._standings.end_elsewhere(job, reason)
            self.changed.notify_all()

    def is_taken_over(self, tune_id: str) -> bool:
        """Return whether another driver makes what this job makes."""
        with self.changed:
            job = self.live.get(tune_id)
            return job is not None and job.kind != "trial" and self.shared[job.key].is_taken_over

    def report(self, tune_id: str, progress: Progress) -> Decision | None:
        """Take a worker's progress; return the decision if its epoch is a rung."""
        with self.changed:
            job = self.live.get(tune_id)
            if job is None:
                return None  # told after its end
            if self._standings.keep(job, progress):
                self._deaths.pop(tune_id, None)
            if job.kind != "trial":
                return None
            epochs = sorted(r.epoch for r in progress.reports if r.phase == "semi" and r.epoch)
            return self._judge.decide(self.trials[job.trial], epochs)

    def end(self, tune_id: str, progress: Progress) -> None:
        """Take a job's end and its last progress; a job that ended already is left as it is."""
        with self.changed:
            job = self.live.pop(tune_id, None)
            if job is None:
                return
            self.room.settle(tune_id)
            self._standings.end(job, progress)
            self.changed.notify_all()

    def die(self, tune_id: str, death: Death) -> str:
        """Take the death of a job's worker: another goes on, until several died without an epoch.

        So outages that lie days apart end no search, and a disk that stays full does. A job whose
        workers are killed each time fails by itself: most likely there is too little memory. One
        that was told to leave is none of them.

        Returns:
            Why the job fails, for its next worker to tell; empty if it goes on.
        """
        with self.changed:
            if tune_id in self.live:
                self.room.await_place(tune_id)
            if death.is_told:
                return ""
            self._deaths[tune_id] += 1
            if death.is_killed and self._deaths[tune_id] == _DEATHS:
                return (
                    f"its workers were killed {_DEATHS} times without an epoch between, most "
                    f"likely for lack of memory; the last: {death.reason}"
                )
            if self._deaths[tune_id] >= _DEATHS:
                self.lose(tune_id, f"its worker failed several times: {death.reason}")
            return ""

    def let_go(self, tune_id: str) -> Job | None:
        """Take a job back from a worker that rests from now on; None if it has none any more."""
        with self.changed:
            job = self.live.pop(tune_id, None)
            if job:
                self._backlog.begun.append(job)
                self.room.rest(tune_id, job)
                self.changed.notify_all()
            return job

    def reuse(self, tune_id: str) -> None:
        """Take note that a worker does not rest any more."""
        with self.changed:
            if self.room.wake(tune_id):
                self.changed.notify_all()

    def stop(self, trial: str) -> bool:
        """Stop a trial because the user wants it: where it waits, or at its next report.

        Returns:
            Whether there is nothing left to stop: its result is in the store, or it is no trial.
        """
        with self.changed:
            entry = self.trials.get(trial)
            if entry is None or entry.is_committed:
                return True
            if any(job.kind == "trial" and job.trial == trial for job in self.live.values()):
                self._judge.stop_next(entry)
            elif entry.state == "running" and self._judge.stop_now(entry):
                self._standings.prune(entry)
                self.changed.notify_all()
            return False

    def lose(self, tune_id: str, reason: str) -> None:
        """Take the loss of a job whose workers died: it stays open, for another session."""
        with self.changed:
            job = self.live.pop(tune_id, None)
            if job is None:
                return
            self.room.settle(tune_id)
            self._backlog.put_back(job)
            self.loss = f"{job.name}: {reason}"
            self.changed.notify_all()

    def committed(self, trial: str, result: TrialResult) -> None:
        """Take note that a trial's result is in the store: the sampler may see it now."""
        with self.changed:
            self._standings.commit(trial, result)
            self.changed.notify_all()

    def record(self, trial: str) -> TrialRecord:
        """Return a trial as it is now; with its result as soon as the store has it."""
        with self.changed:
            return self.trials[trial].record(self.space.objectives)

    def ended(self, trial: str) -> tuple[TrialSpec, TrialResult]:
        """Return the result of a trial that ended, which the store does not have yet."""
        with self.changed:
            entry = self.trials[trial]
            return entry.spec, entry.result(self.space.objectives)

    def shared_record(self, key: str) -> SharedRecord:
        """Return a shared pretrained state or control as far as it got."""
        with self.changed:
            return self.shared[key].record(key)

    def _may_bring_more(self, job: Job) -> bool:
        """Return whether a job may come when this one ends: its control, or itself again."""
        control = self.trials[job.trial].spec.control_key
        return job.kind != "trial" or (control != "" and self.shared[control].state == "waiting")
