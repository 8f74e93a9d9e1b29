"""What the session knows: which jobs wait, run and are done. Memory only, shared by its threads.

Tune's loop takes jobs and brings progress; the proposer adds trials; the recorder commits results.
None of them waits here for network or disk.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable, Sequence, Set

from optuna.trial import FrozenTrial

from ss3d.study.backlog import Backlog
from ss3d.study.budget import Spent
from ss3d.study.entries import Entry, KeyState, Shared
from ss3d.study.events import Ended, Event, Reported, Sealed, SharedEvent
from ss3d.study.job import Job, Progress
from ss3d.study.judge import Judge
from ss3d.study.ledger import Ledger, Work
from ss3d.study.proposals import frozen_trial
from ss3d.study.rungs import Decision, Rule
from ss3d.study.space import Space
from ss3d.trial.records import EpochReport, SharedRecord, TrialRecord, TrialResult, TrialSpec


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
        self.slots = 1
        self.trials: dict[str, Entry] = {}
        self.shared: dict[str, Shared] = {}
        self.live: dict[str, Job] = {}
        self.events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self.changed = threading.Condition()
        self.loss = ""
        """Why a job was lost for good by nothing of its own, if one was: the session must end."""
        self._num_open = 0
        """Trials whose result is not in the store."""
        self._judge = Judge(space, rule, decided, self.events.put)
        self._ledger = ledger
        self._backlog = Backlog(space, ledger, self.trials, self.shared, target)

    def next_number(self) -> int | None:
        """Return the number of the trial to propose now; None if enough of them wait."""
        with self.changed:
            is_full = self._num_open > self.slots
            has_room = not is_full and self._backlog.may_propose(self.spent())
            return len(self.trials) if has_room else None

    def history(self) -> Sequence[FrozenTrial]:
        """Return all trials as the sampler sees them, in the order of their numbers."""
        with self.changed:
            return [self.trials[trial].frozen for trial in sorted(self.trials)]

    def add(self, spec: TrialSpec, ready: Set[str], reports: Iterable[EpochReport] = ()) -> None:
        """Add a trial that was sealed and waits for a worker.

        Args:
            spec: as sealed.
            ready: keys of pretrained states and controls that are in the store.
            reports: that an earlier attempt left in the store.
        """
        with self.changed:
            metric = self.space.objective.metric
            entry = Entry(spec, frozen_trial(spec, None, metric))
            entry.keep(reports)
            self.trials[spec.trial] = entry
            self._num_open += 1
            self._judge.see(entry)
            self._ledger.book(Work.of("trial", spec), entry.reports.values())
            self._need(spec, ready)
            self._backlog.add(spec.trial)
            self.events.put(Sealed(spec.trial))
            if self.shared[spec.pretrain_key].state == "failed":
                self._fail_waiting(spec.pretrain_key)
            self.changed.notify_all()

    def add_finished(self, spec: TrialSpec, result: TrialResult, ready: Set[str]) -> None:
        """Add a trial that an earlier session finished, in the order of their ends.

        If it is complete, it still needs its control.
        """
        with self.changed:
            entry = Entry(spec, frozen_trial(spec, result, self.space.objective.metric))
            entry.keep(result.reports)
            entry.state, entry.reason, entry.is_committed = result.state, result.reason, True
            entry.attempt, entry.finished_at = result.attempt, result.finished_at
            self.trials[spec.trial] = entry
            self._judge.see(entry)
            self._ledger.book(Work.of("trial", spec), entry.reports.values())
            self._ledger.finish(spec, self._final_value(entry))
            if entry.state == "complete" and spec.control_key not in ready:
                self._need(spec, ready)
                self._backlog.want_control(spec)

    def widen(self, slots: int) -> None:
        """Set how many jobs run at once."""
        with self.changed:
            self.slots = slots
            self.changed.notify_all()

    def is_exhausted(self) -> bool:
        """Return whether no job will ever come again."""
        with self.changed:
            spent = self.spent()
            return not (self.live or self._backlog.peek(spent) or self._backlog.may_propose(spent))

    def spent(self) -> Spent:
        """Return what the study used of its budget, with what running jobs will still need."""
        with self.changed:
            return self._ledger.spent([self._work(job) for job in self.live.values()])

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
        """Return the next job; None while all wait for something or all slots are used."""
        with self.changed:
            if self.loss or len(self.live) >= self.slots:
                return None
            job = self._backlog.pop(self.spent())
            if job:
                self.live[tune_id] = job
            return job

    def report(self, tune_id: str, progress: Progress) -> Decision | None:
        """Take a worker's progress; return the decision if its epoch is a rung."""
        with self.changed:
            job = self.live.get(tune_id)
            if job is None:
                return None  # told after its end
            if job.kind != "trial":
                self._keep_shared(job, progress)
                return None
            entry = self.trials[job.trial]
            self._keep_reports(entry, progress)
            self.events.put(Reported(job.trial))
            epochs = sorted(r.epoch for r in progress.reports if r.phase == "semi" and r.epoch)
            return self._judge.decide(entry, epochs)

    def end(self, tune_id: str, progress: Progress) -> None:
        """Take a job's end and its last progress; a job that ended already is left as it is."""
        with self.changed:
            job = self.live.pop(tune_id, None)
            if job is None:
                return
            if job.kind == "trial":
                self._end_trial(self.trials[job.trial], progress)
            else:
                self._end_shared(job, progress)
            self.changed.notify_all()

    def lose(self, tune_id: str, reason: str) -> None:
        """Take the loss of a job whose workers died: it stays open, for another session."""
        with self.changed:
            job = self.live.pop(tune_id, None)
            if job is None:
                return
            self._backlog.put_back(job)
            self.loss = f"{job.name}: {reason}"
            self.changed.notify_all()

    def committed(self, trial: str, result: TrialResult) -> None:
        """Take note that a trial's result is in the store: the sampler may see it now."""
        with self.changed:
            entry = self.trials[trial]
            entry.frozen = frozen_trial(entry.spec, result, self.space.objective.metric)
            self._num_open -= not entry.is_committed
            entry.is_committed = True
            self.changed.notify_all()

    def record(self, trial: str) -> TrialRecord:
        """Return a trial as it is now; with its result as soon as the store has it."""
        with self.changed:
            return self.trials[trial].record(self.space.objective.metric)

    def ended(self, trial: str) -> tuple[TrialSpec, TrialResult]:
        """Return the result of a trial that ended, which the store does not have yet."""
        with self.changed:
            entry = self.trials[trial]
            return entry.spec, entry.result(self.space.objective.metric)

    def shared_record(self, key: str) -> SharedRecord:
        """Return a shared pretrained state or control as far as it got."""
        with self.changed:
            return self.shared[key].record(key)

    def _need(self, spec: TrialSpec, ready: Set[str]) -> None:
        """Note what a trial shares with others."""
        for kind, key in spec.shared():
            state: KeyState = "ready" if key in ready else "waiting"
            self.shared.setdefault(key, Shared(kind, state, spec))

    def _work(self, job: Job) -> Work:
        return Work.of(job.kind, self.trials[job.trial].spec)

    def _keep_shared(self, job: Job, progress: Progress) -> None:
        shared = self.shared[job.key]
        shared.keep(progress.reports)
        self._ledger.book(self._work(job), shared.reports.values())
        self.events.put(SharedEvent(job.key))

    def _end_shared(self, job: Job, progress: Progress) -> None:
        shared = self.shared[job.key]
        shared.state = "failed" if progress.failure else "ready"
        shared.reason = progress.failure
        self._keep_shared(job, progress)
        if progress.failure and job.kind == "pretrain":
            self._fail_waiting(job.key)

    def _fail_waiting(self, key: str) -> None:
        """End all trials and controls that wait for a pretrained state that cannot be made."""
        for trial in self._backlog.give_up(key):
            self._fail(self.trials[trial], f"its pretraining failed: {self.shared[key].reason}")

    def _end_trial(self, entry: Entry, progress: Progress) -> None:
        entry.attempt = progress.attempt
        if progress.failure:
            self._fail(entry, progress.failure)
            return
        entry.state = "complete" if progress.is_done else "pruned"
        if progress.is_done:
            self._keep_reports(entry, progress)
            self._backlog.want_control(entry.spec)
        self._close(entry)

    def _fail(self, entry: Entry, reason: str) -> None:
        entry.state, entry.reason = "failed", reason
        self._close(entry)

    def _close(self, entry: Entry) -> None:
        entry.finished_at = time.time()
        self._ledger.finish(entry.spec, self._final_value(entry))
        self.events.put(Ended(entry.spec.trial))

    def _keep_reports(self, entry: Entry, progress: Progress) -> None:
        entry.attempt = progress.attempt
        entry.keep(progress.reports)
        self._ledger.book(Work.of("trial", entry.spec), entry.reports.values())
        self._judge.see(entry)

    def _final_value(self, entry: Entry) -> float | None:
        """Return the objective of a complete trial."""
        metric = self.space.objective.metric
        return entry.result(metric).values.get(metric) if entry.state == "complete" else None
