"""Tune's two plug-ins: a searcher that pops jobs, a scheduler that asks the rungs.

Both only touch the board's memory: an exception or a wait here would end or stall all that runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher, SearchGenerator

from ss3d.study.board import Board
from ss3d.study.deaths import read_death
from ss3d.study.job import JobKind, Place, Progress, to_config
from ss3d.study.moves import Moves

_IDLE_S = 0.2
PAYLOAD = "progress"
"""The one result that workers report: a `Progress` as JSON."""


class Unsaved:
    """Pickles to nothing: Tune saves its plug-ins, and nobody ever reads that back."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class JobSearcher(Unsaved, Searcher):
    """Hands out the board's jobs.

    Args:
        board: has the jobs.
        place: where workers find things; each kind of job with the GPUs that it occupies.
        beat: called while nothing runs; may raise KeyboardInterrupt to leave.
        moves: says where a job shall not start.
    """

    def __init__(self, board: Board, place: Place, beat: Callable[[], None], moves: Moves) -> None:
        super().__init__()
        self._board = board
        self._moves = moves
        resources = board.space.resources
        self._places = {
            kind: replace(place, gpus=resources.of(kind).gpus) for kind in get_args(JobKind)
        }
        self._beat = beat

    def suggest(self, trial_id: str) -> Any:
        """Return a job, None to ask again later, or FINISHED when none will come.

        While nothing runs, Tune would sleep for a second before it asks again, and hear nothing:
        so the waiting is done here.
        """
        while (job := self._board.take(trial_id)) is None:
            if self._board.is_exhausted():
                return Searcher.FINISHED
            if not self._board.wait_idle(_IDLE_S):
                return None
            self._beat()
        return to_config(self._moves.steer(job), self._places[job.kind])

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell the board that a job ended: finished, stopped by a rung, or lost."""
        if error or not result or PAYLOAD not in result:
            self._board.lose(trial_id, "its worker died without a word")
        else:
            self._board.end(trial_id, Progress.from_json(result[PAYLOAD]))

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the store has it all."""


class JobGenerator(Unsaved, SearchGenerator):
    """Tells Tune early that all jobs have begun, and takes it back when one moves.

    Tune keeps a worker without a job for whatever may come, until it hears that nothing will: on a
    cluster that shrinks, a node would stand idle as long as the last trial trains.

    Args:
        searcher: hands out the jobs.
        board: has them.
    """

    def __init__(self, searcher: JobSearcher, board: Board) -> None:
        super().__init__(searcher)
        self._board = board

    def is_finished(self) -> bool:
        """Return whether nothing is to be asked for now."""
        return super().is_finished() or self._board.is_ending()


class RungScheduler(Unsaved, FIFOScheduler):
    """Continues or stops jobs as the board's rule says, and moves those that straggle."""

    def __init__(self, board: Board, moves: Moves) -> None:
        super().__init__()
        self._board = board
        self._moves = moves

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        """Prefer no job: Tune starts them in their order.

        Preferred would be the oldest that waits, whose own worker may be starting: it would get one
        that is free now, and Tune would end the new one. Where trials are over before a worker has
        started, no second worker would ever come into use.
        """

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Take a worker's progress and answer CONTINUE or STOP."""
        progress = Progress.from_json(result[PAYLOAD])
        if progress.has_let_go:
            trial.max_failures = 0  # its job is another Tune trial's now
            is_resting = self._moves.may_rest(trial.trial_id, progress.node)
            return TrialScheduler.CONTINUE if is_resting else TrialScheduler.STOP
        decision = self._board.report(trial.trial_id, progress)
        is_pruned = decision is not None and decision.stop
        if is_pruned or self._board.is_taken_over(trial.trial_id):
            return TrialScheduler.STOP
        if self._moves.is_due(trial.trial_id, progress):
            worker = trial.temporary_state.ray_actor
            assert worker is not None
            worker.let_go.remote()  # goes before Tune's next call
        return TrialScheduler.CONTINUE

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: Any) -> None:
        """Forget the worker, which begins another job."""
        self._moves.forget(trial.trial_id)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Tell the board what killed a job's worker; the next worker may get to know its end."""
        self._moves.forget(trial.trial_id)
        death = read_death(Path(trial.error_file).read_text() if trial.error_file else "")
        if killed := self._board.die(trial.trial_id, death):
            trial.config["job"]["killed"] = killed


class Heartbeat(Unsaved, Callback):
    """Calls back at each step of Tune's loop, and tells the board which jobs got their place.

    Args:
        board: has the jobs.
        beat: must be quick; may raise KeyboardInterrupt to leave.
    """

    def __init__(self, board: Board, beat: Callable[[], None]) -> None:
        self._board = board
        self._beat = beat

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Beat."""
        self._beat()

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Tell the board that a job begins."""
        self._board.place(trial.trial_id)
