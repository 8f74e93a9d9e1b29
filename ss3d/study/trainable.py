"""All that Ray ever sees of a trial: one `next` per epoch."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import Any

import ray
from ray import tune

from ss3d.study.attempt import run_job
from ss3d.study.handover import spool_name
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
    _progress: Generator[Progress, None, None]
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

    def begin(self, config: dict[str, Any]) -> Generator[Progress, None, None]:
        """Yield the job's progress, epoch by epoch."""
        job, place = from_config(config)
        yield from run_job(self._worker_at(place), job)

    def step(self) -> dict[str, Any]:
        """Train one epoch, unless worker or job must go: then what was trained is kept first.

        Raises:
            LeavingError: the worker must; the job goes on in another one.
        """
        if reason := self._notice.why_leaving():
            raise self._keep(reason)
        progress = self._rest() if self._is_unwanted else next(self._progress)
        progress = replace(progress, node=self._node)
        return {PAYLOAD: progress.to_json(), "done": progress.is_done}

    def let_go(self) -> None:
        """Hear from the driver that the job shall go on at another node, before its next epoch."""
        self._is_unwanted = True

    def cleanup(self) -> None:
        """Let go of the job; nothing is waited for."""
        self._progress.close()

    def _take(self, config: dict[str, Any]) -> None:
        job, _ = from_config(config)
        self._is_unwanted = ray.get_runtime_context().get_node_id() == job.avoid
        self._is_resting = False
        self._progress = self.begin(config)

    def _rest(self) -> Progress:
        """Let the job go, once all of it is in the store; then keep nothing but the slot."""
        if self._is_resting:
            time.sleep(_REST_S)
        else:
            self._keep("its epochs take much longer here")
            self._is_resting = True
        return Progress(0, (), has_let_go=True)

    def _keep(self, reason: str) -> LeavingError:
        """Let the job say why it ends here, and wait until all of it is in the store."""
        job, place = from_config(self.config)
        leaving = LeavingError(f"{job.name} goes on elsewhere: {reason}")
        with suppress(LeavingError):
            self._progress.throw(leaving)
        if self._worker is not None:
            self._worker.uploader.flush(spool_name(place, job))
        return leaving

    @cached_property
    def _node(self) -> Node:
        facts = machine()
        node, host = ray.get_runtime_context().get_node_id(), facts.pop("host")
        return Node(node, host, ", ".join(facts.values()))

    def _worker_at(self, place: Place) -> Worker:
        if self._worker is None or self._worker.place != place:
            self._worker = Worker(place)
        return self._worker
