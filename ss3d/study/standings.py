"""How every trial, pretrained state and control stands, and how reports and ends move them on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Set

from ss3d.study.backlog import Backlog
from ss3d.study.entries import Entry, KeyState, Shared
from ss3d.study.events import Ended, Event, Reported, Sealed, SharedEvent
from ss3d.study.frozen import frozen_trial
from ss3d.study.job import Job, Progress
from ss3d.study.judge import Judge
from ss3d.study.ledger import Ledger, Work
from ss3d.study.space import Space
from ss3d.trial.records import EpochReport, TrialResult, TrialSpec


class Standings:
    """Keeps the entries and the jobs that wait; whoever calls holds the board's lock.

    Args:
        space: what is searched.
        target: number of trials in the budget.
        judge: sees all curves.
        ledger: keeps the books of the budget.
        tell: takes what happened.
    """

    def __init__(
        self,
        space: Space,
        target: int,
        judge: Judge,
        ledger: Ledger,
        tell: Callable[[Event], None],
    ) -> None:
        self.trials: dict[str, Entry] = {}
        self.shared: dict[str, Shared] = {}
        self.backlog = Backlog(space, ledger, self.trials, self.shared, target)
        self.num_open = 0
        """Trials whose result is not in the store."""
        self._objectives = space.objectives
        self._judge = judge
        self._ledger = ledger
        self._tell = tell

    def add(self, spec: TrialSpec, ready: Set[str], reports: Iterable[EpochReport]) -> None:
        """Let a trial that was sealed wait for a worker.

        Args:
            spec: as sealed.
            ready: keys of pretrained states and controls that are in the store.
            reports: that an earlier attempt left in the store.
        """
        entry = Entry(spec, frozen_trial(spec, None, self._objectives))
        self.num_open += 1
        self._enter(entry, reports)
        self._need(spec, ready)
        self.backlog.add(spec.trial)
        self._tell(Sealed(spec.trial))
        if self.shared[spec.pretrain_key].state == "failed":
            self._fail_waiting(spec.pretrain_key)

    def add_finished(self, spec: TrialSpec, result: TrialResult, ready: Set[str]) -> None:
        """Add a trial with its result; if it is complete, it still needs its control."""
        entry = Entry(spec, frozen_trial(spec, result, self._objectives))
        entry.state, entry.reason, entry.is_committed = result.state, result.reason, True
        entry.attempt, entry.finished_at = result.attempt, result.finished_at
        entry.is_too_large = result.is_too_large
        self._enter(entry, result.reports)
        self._finish(entry)
        entry.forget_models()
        if entry.state == "complete" and spec.control_key not in ready:
            self._need(spec, ready)
            self.backlog.want_control(spec)

    def keep(self, job: Job, progress: Progress) -> bool:
        """Take the reports of a job that runs; return whether there is a new epoch among them."""
        it = self.trials[job.trial] if job.kind == "trial" else self.shared[job.key]
        is_new = any((report.phase, report.epoch) not in it.reports for report in progress.reports)
        if isinstance(it, Shared):
            self._keep_shared(job, progress)
        else:
            self._keep_trial(it, progress)
            self._tell(Reported(job.trial))
        return is_new

    def end(self, job: Job, progress: Progress) -> None:
        """Take the end of a job, and its last reports."""
        if job.kind == "trial":
            self._end_trial(self.trials[job.trial], progress)
        else:
            self._end_shared(job, progress)

    def end_elsewhere(self, job: Job, reason: str) -> None:
        """Take the end of a shared job that did not run here.

        Args:
            job: the shared job.
            reason: why it cannot be made; empty if it is made.
        """
        shared = self.shared[job.key]
        shared.state, shared.reason = "failed" if reason else "ready", reason
        self.backlog.drop(job.key)
        if shared.reports:  # it began here and was taken over
            self._tell(SharedEvent(job.key))
        if reason and job.kind == "pretrain":
            self._fail_waiting(job.key)

    def prune(self, entry: Entry) -> None:
        """End a trial that waits."""
        self.backlog.withdraw(entry.spec.trial)
        entry.state = "pruned"
        self._close(entry)

    def commit(self, trial: str, result: TrialResult) -> None:
        """Take note that a trial's result is in the store."""
        entry = self.trials[trial]
        entry.frozen = frozen_trial(entry.spec, result, self._objectives)
        self.num_open -= not entry.is_committed
        entry.is_committed = True
        entry.forget_models()

    def work(self, job: Job) -> Work:
        """Return the training that a job is."""
        return Work.of(job.kind, self.trials[job.trial].spec)

    def _enter(self, entry: Entry, reports: Iterable[EpochReport]) -> None:
        entry.keep(reports)
        self.trials[entry.spec.trial] = entry
        self._learn(entry)

    def _need(self, spec: TrialSpec, ready: Set[str]) -> None:
        """Note what a trial shares with others."""
        for kind, key in spec.shared():
            state: KeyState = "ready" if key in ready else "waiting"
            self.shared.setdefault(key, Shared(kind, state, spec))

    def _keep_trial(self, entry: Entry, progress: Progress) -> None:
        entry.attempt = progress.attempt
        entry.keep(progress.reports)
        self._learn(entry)

    def _learn(self, entry: Entry) -> None:
        """Let judge and ledger see how far a trial got."""
        self._judge.see(entry)
        self._ledger.book(Work.of("trial", entry.spec), entry.reports.values())

    def _keep_shared(self, job: Job, progress: Progress) -> None:
        shared = self.shared[job.key]
        shared.keep(progress.reports)
        self._ledger.book(self.work(job), shared.reports.values())
        self._tell(SharedEvent(job.key))

    def _end_trial(self, entry: Entry, progress: Progress) -> None:
        entry.attempt = progress.attempt
        if progress.failure:
            entry.is_too_large = progress.is_too_large
            self._fail(entry, progress.failure)
            return
        entry.state = "complete" if progress.is_done else "pruned"
        if progress.is_done:
            self._keep_trial(entry, progress)
            self.backlog.want_control(entry.spec)
        self._close(entry)

    def _end_shared(self, job: Job, progress: Progress) -> None:
        shared = self.shared[job.key]
        if progress.is_done:
            shared.state = "failed" if progress.failure else "ready"
        else:  # it was stopped: another driver took it over
            self.backlog.put_back(job)
            shared.state = "elsewhere"
        shared.is_taken_over = False
        shared.reason, shared.is_too_large = progress.failure, progress.is_too_large
        self._keep_shared(job, progress)
        if progress.failure and job.kind == "pretrain":
            self._fail_waiting(job.key)

    def _fail_waiting(self, key: str) -> None:
        """End all trials and controls that wait for a pretrained state that cannot be made."""
        shared = self.shared[key]
        for trial in self.backlog.give_up(key):
            self.trials[trial].is_too_large = shared.is_too_large
            self._fail(self.trials[trial], f"its pretraining failed: {shared.reason}")

    def _fail(self, entry: Entry, reason: str) -> None:
        entry.state, entry.reason = "failed", reason
        self._close(entry)

    def _close(self, entry: Entry) -> None:
        entry.finished_at = time.time()
        self._finish(entry)
        self._tell(Ended(entry.spec.trial))

    def _finish(self, entry: Entry) -> None:
        """Let a trial that ended count for the budget, and for the best if it is complete."""
        if entry.state == "complete":
            entry.outcome = self._objectives.outcome(entry.result(self._objectives).values)
        self._ledger.finish(entry.spec, entry.outcome)
