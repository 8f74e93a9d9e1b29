"""All that Ray ever sees of a trial: one `next` per epoch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any, NoReturn

import ray
from ray import tune

from ss3d.study.attempt import run_job, spool_name
from ss3d.study.job import Node, Place, Progress, from_config
from ss3d.study.notice import LeavingError, Notice
from ss3d.study.searcher import PAYLOAD
from ss3d.study.worker import Worker
from ss3d.trial.spec import machine

_REST_S = 1.0
"""Between two words of a worker that rests: so soon it hears that it is over."""


class JobTrainable(tune.Trainable):
    """Runs jobs one after the other in the same process.

    A class and not a function: there is no second thread that could outlive a stopped trial, and
    the line after the last report is certain to run.
    """

    _worker: Worker | None = None
    _progress: Iterator[Progress]
    _is_unwanted: bool
    """Whether the job shall go on at another node."""
    _is_resting: bool

    def setup(self, config: dict[str, Any]) -> None:
        """Take the first job; nothing is done yet, so nothing can fail here."""
        self._notice = Notice()
        self._take(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take another job; what the stopped one holds is let go first."""
        self.cleanup()
        self._take(new_config)
        return True

    def begin(self, config: dict[str, Any]) -> Iterator[Progress]:
        """Yield the job's progress, epoch by epoch."""
        job, place = from_config(config)
        yield from run_job(self._worker_at(place), job)

    def step(self) -> dict[str, Any]:
        """Train one epoch, unless worker or job must go: then what was trained is kept first.

        Raises:
            LeavingError: the worker must; the job goes on in another one.
        """
        if reason := self._notice.why_leaving():
            self._leave(reason)
        progress = self._rest() if self._is_unwanted else next(self._progress)
        progress = replace(progress, node=self._node)
        return {PAYLOAD: progress.to_json(), "done": progress.is_done}

    def let_go(self) -> None:
        """Hear from the driver that the job shall go on at another node, before its next epoch."""
        self._is_unwanted = True

    def cleanup(self) -> None:
        """Let go of the job; nothing is waited for."""
        close = getattr(self._progress, "close", None)
        if close:
            close()

    def _take(self, config: dict[str, Any]) -> None:
        job, _ = from_config(config)
        self._is_unwanted = ray.get_runtime_context().get_node_id() == job.avoid
        self._is_resting = False
        self._progress = self.begin(config)

    def _leave(self, reason: str) -> NoReturn:
        """Leave, once all of the job is in the store."""
        self._keep()
        job, _ = from_config(self.config)
        raise LeavingError(f"{job.name} goes on elsewhere: {reason}")

    def _rest(self) -> Progress:
        """Let the job go, once all of it is in the store; then keep nothing but the slot."""
        if self._is_resting:
            time.sleep(_REST_S)
        else:
            self.cleanup()
            self._keep()
            self._is_resting = True
        return Progress(0, (), has_let_go=True)

    def _keep(self) -> None:
        """Wait until all of the job is in the store."""
        job, place = from_config(self.config)
        if self._worker is not None:
            self._worker.uploader.flush(spool_name(place, job))

    @cached_property
    def _node(self) -> Node:
        facts = machine()
        node, host = ray.get_runtime_context().get_node_id(), facts.pop("host")
        return Node(node, host, ", ".join(facts.values()))

    def _worker_at(self, place: Place) -> Worker:
        if self._worker is None or self._worker.place != place:
            self._worker = Worker(place)
        return self._worker
