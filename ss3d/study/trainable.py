"""All that Ray ever sees of a trial: one `next` per epoch."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from typing import Any, NoReturn

from ray import tune

from ss3d.study.attempt import run_job
from ss3d.study.handover import spool_name
from ss3d.study.job import Place, Progress, from_config
from ss3d.study.notice import LeavingError, Notice
from ss3d.study.searcher import PAYLOAD
from ss3d.study.worker import Worker


class JobTrainable(tune.Trainable):
    """Runs jobs one after the other in the same process.

    A class and not a function: there is no second thread that could outlive a stopped trial, and
    the line after the last report is certain to run.
    """

    _worker: Worker | None = None
    _progress: Generator[Progress, None, None]

    def setup(self, config: dict[str, Any]) -> None:
        """Take the first job; nothing is done yet, so nothing can fail here."""
        self._notice = Notice()
        self._progress = self.begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take another job; what the stopped one holds is let go first."""
        self.cleanup()
        self._progress = self.begin(new_config)
        return True

    def begin(self, config: dict[str, Any]) -> Generator[Progress, None, None]:
        """Yield the job's progress, epoch by epoch."""
        job, place = from_config(config)
        yield from run_job(self._worker_at(place), job)

    def step(self) -> dict[str, Any]:
        """Train one epoch, unless this worker must go: then what was trained is kept first.

        Raises:
            LeavingError: it must; the job goes on in another worker.
        """
        if reason := self._notice.why_leaving():
            self._keep(reason)
        progress = next(self._progress)
        return {PAYLOAD: progress.to_json(), "done": progress.is_done}

    def cleanup(self) -> None:
        """Let go of the job; nothing is waited for."""
        self._progress.close()

    def _keep(self, reason: str) -> NoReturn:
        """Let the job say why it ends, wait until all of it is in the store, and leave."""
        job, place = from_config(self.config)
        leaving = LeavingError(f"{job.name} goes on elsewhere: {reason}")
        with suppress(LeavingError):
            self._progress.throw(leaving)
        if self._worker is not None:
            self._worker.uploader.flush(spool_name(place, job))
        raise leaving

    def _worker_at(self, place: Place) -> Worker:
        if self._worker is None or self._worker.place != place:
            self._worker = Worker(place)
        return self._worker
