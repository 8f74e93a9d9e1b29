"""Jobs that wait, and which of them is next."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping

from ss3d.study.budget import Need, Spent, why_not, why_too_much
from ss3d.study.entries import Entry, Shared
from ss3d.study.job import Job, JobKind
from ss3d.study.ledger import Ledger, Work
from ss3d.study.space import Space
from ss3d.trial.records import TrialSpec


class Backlog:
    """Trials that wait for their pretrained state or for a worker, and controls that are wanted.

    Args:
        space: what is searched, with its budget.
        ledger: predicts what a job needs.
        trials: all trials.
        shared: all pretrained states and controls; a job of theirs that is popped is running.
        target: number of trials in the budget.
    """

    def __init__(
        self,
        space: Space,
        ledger: Ledger,
        trials: Mapping[str, Entry],
        shared: Mapping[str, Shared],
        target: int,
    ) -> None:
        self._space = space
        self._ledger = ledger
        self._target = target
        self._trials = trials
        self._shared = shared
        self._waiting: deque[str] = deque()
        self._controls: deque[str] = deque()
        self.begun: deque[Job] = deque()
        """What a worker let go in the midst: it goes on first, whatever the budget says."""

    def add(self, trial: str) -> None:
        """Let a trial wait."""
        self._waiting.append(trial)

    def want_control(self, spec: TrialSpec) -> None:
        """Queue the control of a complete trial, once."""
        key = spec.control_key
        if key and self._shared[key].state == "waiting" and key not in self._controls:
            self._controls.append(key)

    def put_back(self, job: Job) -> None:
        """Let a job that was lost wait again, before all others."""
        if job.kind == "trial":
            self._waiting.appendleft(job.trial)
            return
        self._shared[job.key].state = "waiting"
        if job.kind == "control":
            self._controls.appendleft(job.key)

    def give_up(self, key: str) -> list[str]:
        """Drop what waits for a pretrained state that cannot be made; return the trials."""
        self._controls = deque(
            control for control in self._controls if self._key_of_control(control) != key
        )
        lost = [t for t in self._waiting if self._trials[t].spec.pretrain_key == key]
        for trial in lost:
            self._waiting.remove(trial)
        return lost

    def withdraw(self, trial: str) -> None:
        """Let a trial wait no longer."""
        waiting = (job for job in self.begun if job.kind == "trial" and job.trial == trial)
        if job := next(waiting, None):
            self.begun.remove(job)
        else:
            self._waiting.remove(trial)

    def is_empty(self) -> bool:
        """Return whether nothing waits, not even for its pretrained state or its budget."""
        return not self.begun and not self._waiting and not self._controls

    def pop(self, spent: Spent, is_alone: bool, fits: Callable[[Job], bool]) -> Job | None:
        """Remove and return the next job that may start.

        None also while it is not decided whose it is or there is no room for it: then no later one
        goes before it, so that the order does not depend on how fast the store answers, and what is
        large comes to its turn.

        Args:
            spent: of the budget.
            is_alone: whether a shared job needs no claim.
            fits: whether there is room for a job.
        """
        if self.begun:
            return self.begun.popleft() if fits(self.begun[0]) else None
        job = next((job for job in self.jobs(spent) if not self.is_elsewhere(job)), None)
        if job is None or not fits(job):
            return None
        if job.kind == "trial":
            self._waiting.remove(job.trial)
            return job
        if not is_alone and self._shared[job.key].state != "claimed":
            return None
        self._shared[job.key].state = "running"
        if job.kind == "control":
            self._controls.remove(job.key)
        return job

    def jobs(self, spent: Spent) -> Iterator[Job]:
        """Yield the jobs that may start, in the order in which they are handed out.

        What was begun, then pretrainings, trials, controls; those that another driver makes are
        among them.
        """
        yield from self.begun
        yield from self._pretrains(spent)
        yield from self._ready_trials(spent)
        yield from self._ready_controls(spent)

    def is_elsewhere(self, job: Job) -> bool:
        """Return whether another driver makes it."""
        return job.kind != "trial" and self._shared[job.key].state == "elsewhere"

    def drop(self, key: str) -> None:
        """Forget a control that is made, or cannot be made."""
        if key in self._controls:
            self._controls.remove(key)

    def may_propose(self, spent: Spent) -> bool:
        """Return whether another trial may be proposed; not while one that waits is refused."""
        return len(self._trials) < self._target and not self.why_refused(spent)

    def why_refused(self, spent: Spent) -> str:
        """Return why the budget does not let something start, or another trial be proposed.

        Empty if it lets everything start, and when there is nothing left to start.
        """
        refusals = [self._why_not(self._trials[trial].spec, spent) for trial in self._waiting]
        if len(self._trials) < self._target:
            work = Work("", "semi", "", self._space.base.semi.epochs)
            refusals.append(self._why_not_needs(spent, self._ledger.need(work)))
        refusals += (self._why_no_control(key, spent) for key in self._controls)
        return next(filter(None, refusals), "")

    def _pretrains(self, spent: Spent) -> Iterator[Job]:
        """Yield the pretrainings of the trials and controls that may start after them."""
        wanted = [
            self._trials[trial].spec.pretrain_key
            for trial in self._waiting
            if not self._why_not(self._trials[trial].spec, spent)
        ]
        wanted += (
            self._key_of_control(control)
            for control in self._controls
            if not self._why_no_control(control, spent)
        )
        for key in dict.fromkeys(wanted):
            if self._shared[key].state in ("waiting", "claimed", "elsewhere"):
                yield Job("pretrain", self._shared[key].spec.trial, key)

    def _ready_trials(self, spent: Spent) -> Iterator[Job]:
        for trial in self._waiting:
            spec = self._trials[trial].spec
            if self._is_ready(spec.pretrain_key) and not self._why_not(spec, spent):
                yield Job("trial", trial, spec.pretrain_key)

    def _ready_controls(self, spent: Spent) -> Iterator[Job]:
        for key in self._controls:
            is_ready = self._is_ready(self._key_of_control(key))
            if is_ready and not self._why_no_control(key, spent):
                yield Job("control", self._shared[key].spec.trial, key)

    def _why_not(self, spec: TrialSpec, spent: Spent) -> str:
        """Return why a trial may not start."""
        return self._why_not_needs(spent, self._need("trial", spec))

    def _why_not_needs(self, spent: Spent, need: Need) -> str:
        budget, objective = self._space.budget, self._space.objective
        return why_not(budget, objective.direction, spent, need)

    def _why_no_control(self, key: str, spent: Spent) -> str:
        """Return why a control may not start: a study that reached its goal still owes it."""
        need = self._need("control", self._shared[key].spec)
        return why_too_much(self._space.budget, spent, need)

    def _need(self, kind: JobKind, spec: TrialSpec) -> Need:
        """Return what a job will need; zero if no hours are limited, which spares much work."""
        if not self._space.budget.is_timed:
            return Need(0.0, 0.0)
        return self._ledger.need(*self._works(kind, spec))

    def _works(self, kind: JobKind, spec: TrialSpec) -> list[Work]:
        """Return the work of a trial or control, with its pretraining if nobody began it."""
        is_open = self._shared[spec.pretrain_key].state in ("waiting", "claimed")
        return [Work.of(kind, spec), *([Work.of("pretrain", spec)] if is_open else [])]

    def _is_ready(self, key: str) -> bool:
        return self._shared[key].state == "ready"

    def _key_of_control(self, key: str) -> str:
        return self._shared[key].spec.pretrain_key
