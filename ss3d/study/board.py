"""What the session knows: which jobs wait, run and are done. Memory only, shared by its threads.

Tune's loop takes jobs and brings progress; the proposer adds trials; the recorder commits results.
None of them waits here for network or disk.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence

from optuna.trial import FrozenTrial

from ss3d.study.entries import Entry, KeyState, Pretrain
from ss3d.study.events import Ended, Event, PretrainEvent, Reported, Sealed
from ss3d.study.job import Job, Progress
from ss3d.study.judge import Judge
from ss3d.study.proposals import frozen_trial
from ss3d.study.rungs import Decision, Rule
from ss3d.study.space import Space
from ss3d.trial.records import EpochReport, PretrainRecord, TrialRecord, TrialResult, TrialSpec


class Board:
    """The session's state.

    Args:
        space: what is searched.
        rule: which trials go on.
        target: number of trials in the budget.
        decided: stored decisions by trial and epoch; they hold again after a resume.
    """

    def __init__(
        self, space: Space, rule: Rule, target: int, decided: dict[tuple[str, int], Decision]
    ) -> None:
        self.space = space
        self.target = target
        self.slots = 1
        self.trials: dict[str, Entry] = {}
        self.pretrains: dict[str, Pretrain] = {}
        self.live: dict[str, Job] = {}
        self.events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self.changed = threading.Condition()
        self.loss = ""
        """Why a job was lost for good by nothing of its own, if one was: the session must end."""
        self._judge = Judge(space, rule, decided, self.events.put)
        self._waiting: deque[str] = deque()

    def next_number(self) -> int | None:
        """Return the number of the trial to propose now; None if enough of them wait."""
        with self.changed:
            proposed = len(self.trials)
            open_trials = sum(not entry.is_committed for entry in self.trials.values())
            has_room = proposed < self.target and open_trials < self.slots + 1
            return proposed if has_room else None

    def history(self) -> Sequence[FrozenTrial]:
        """Return all trials as the sampler sees them, in the order of their numbers."""
        with self.changed:
            return [entry.frozen for _, entry in sorted(self.trials.items())]

    def add(self, spec: TrialSpec, is_key_ready: bool, reports: Iterable[EpochReport] = ()) -> None:
        """Add a trial that was sealed and waits for a worker.

        Args:
            spec: as sealed.
            is_key_ready: whether its pretrained state is in the store.
            reports: that an earlier attempt left in the store.
        """
        with self.changed:
            metric = self.space.objective.metric
            entry = Entry(spec, frozen_trial(spec, None, metric))
            entry.keep(reports)
            self.trials[spec.trial] = entry
            self._judge.see(entry)
            self._waiting.append(spec.trial)
            state: KeyState = "ready" if is_key_ready else "waiting"
            held = self.pretrains.setdefault(spec.pretrain_key, Pretrain(state, spec))
            self.events.put(Sealed(spec.trial))
            if held.state == "failed":
                self._fail_waiting(spec.pretrain_key)
            self.changed.notify_all()

    def add_finished(self, spec: TrialSpec, result: TrialResult) -> None:
        """Add a trial that an earlier session finished."""
        with self.changed:
            entry = Entry(spec, frozen_trial(spec, result, self.space.objective.metric))
            entry.keep(result.reports)
            entry.state, entry.reason, entry.is_committed = result.state, result.reason, True
            entry.attempt, entry.finished_at = result.attempt, result.finished_at
            self.trials[spec.trial] = entry
            self._judge.see(entry)

    def widen(self, slots: int) -> None:
        """Set how many jobs run at once."""
        with self.changed:
            self.slots = slots
            self.changed.notify_all()

    def is_exhausted(self) -> bool:
        """Return whether no job will ever come again."""
        with self.changed:
            is_all = len(self.trials) >= self.target
            return is_all and not self._waiting and not self.live

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
            job = self._take_pretrain() or self._take_trial()
            if job:
                self.live[tune_id] = job
            return job

    def report(self, tune_id: str, progress: Progress) -> Decision | None:
        """Take a worker's progress; return the decision if its epoch is a rung."""
        with self.changed:
            job = self.live.get(tune_id)
            if job is None:
                return None  # told after its end
            if job.kind == "pretrain":
                self._keep_pretrain(job, progress)
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
            if job.kind == "pretrain":
                self._end_pretrain(job, progress)
            else:
                self._end_trial(self.trials[job.trial], progress)
            self.changed.notify_all()

    def lose(self, tune_id: str, reason: str) -> None:
        """Take the loss of a job whose workers died: it stays open, for another session."""
        with self.changed:
            job = self.live.pop(tune_id, None)
            if job is None:
                return
            if job.kind == "pretrain":
                self.pretrains[job.key].state = "waiting"
            else:
                self._waiting.appendleft(job.trial)
            self.loss = f"{job.name}: {reason}"
            self.changed.notify_all()

    def committed(self, trial: str, result: TrialResult) -> None:
        """Take note that a trial's result is in the store: the sampler may see it now."""
        with self.changed:
            entry = self.trials[trial]
            entry.frozen = frozen_trial(entry.spec, result, self.space.objective.metric)
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

    def pretrain_record(self, key: str) -> PretrainRecord:
        """Return a shared pretrained state as far as it got."""
        with self.changed:
            return self.pretrains[key].record(key)

    def _take_pretrain(self) -> Job | None:
        for key, pretrain in self.pretrains.items():
            if pretrain.state == "waiting":
                pretrain.state = "running"
                return Job("pretrain", pretrain.spec.trial, key)
        return None

    def _take_trial(self) -> Job | None:
        for trial in self._waiting:
            key = self.trials[trial].spec.pretrain_key
            if self.pretrains[key].state == "ready":
                self._waiting.remove(trial)
                return Job("trial", trial, key)
        return None

    def _keep_pretrain(self, job: Job, progress: Progress) -> None:
        pretrain = self.pretrains[job.key]
        pretrain.keep(progress.reports)
        self.events.put(PretrainEvent(job.key))

    def _end_pretrain(self, job: Job, progress: Progress) -> None:
        pretrain = self.pretrains[job.key]
        pretrain.state = "failed" if progress.failure else "ready"
        pretrain.reason = progress.failure
        self._keep_pretrain(job, progress)
        if progress.failure:
            self._fail_waiting(job.key)

    def _fail_waiting(self, key: str) -> None:
        """End all trials that wait for a pretrained state that cannot be made."""
        for trial in [t for t in self._waiting if self.trials[t].spec.pretrain_key == key]:
            self._waiting.remove(trial)
            self._fail(self.trials[trial], f"its pretraining failed: {self.pretrains[key].reason}")

    def _end_trial(self, entry: Entry, progress: Progress) -> None:
        entry.attempt = progress.attempt
        if progress.failure:
            self._fail(entry, progress.failure)
            return
        entry.state = "complete" if progress.is_done else "pruned"
        if progress.is_done:
            self._keep_reports(entry, progress)
        self._close(entry)

    def _fail(self, entry: Entry, reason: str) -> None:
        entry.state, entry.reason = "failed", reason
        self._close(entry)

    def _close(self, entry: Entry) -> None:
        entry.finished_at = time.time()
        self.events.put(Ended(entry.spec.trial))

    def _keep_reports(self, entry: Entry, progress: Progress) -> None:
        entry.attempt = progress.attempt
        entry.keep(progress.reports)
        self._judge.see(entry)
