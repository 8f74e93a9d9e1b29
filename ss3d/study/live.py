"""What a search looks like at this moment, as plain values for a table."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from ss3d.store.layout import SharedKind
from ss3d.study.board import Board
from ss3d.study.budget import what_is_left
from ss3d.study.entries import Entry, Shared
from ss3d.trial.dominance import Outcome, first_front


@dataclass(frozen=True)
class TrialLine:
    """One trial."""

    trial: str
    state: str
    """`waiting`, also for a node that has room, or a state of TrialResult."""
    epoch: int
    num_epochs: int
    value: float | None
    params: dict[str, Any]
    reason: str
    outcome: Outcome | None = None
    """Of a complete trial."""


@dataclass(frozen=True)
class SharedLine:
    """One shared pretraining or control of this session."""

    kind: SharedKind
    key: str
    state: str
    epoch: int
    num_epochs: int
    value: float | None


@dataclass(frozen=True)
class Best:
    """The best complete, feasible trial of a stratum, by the primary objective."""

    stratum: dict[str, Any]
    trial: str
    value: float
    num_front: int | None = None
    """Trials that none dominates, with several objectives."""


@dataclass(frozen=True)
class Snapshot:
    """A search at one moment."""

    target: int
    counts: dict[str, int]
    trials: tuple[TrialLine, ...]
    shared: tuple[SharedLine, ...]
    best: tuple[Best, ...]
    seconds: float
    """Since the session began."""
    eta_s: float | None
    left: str
    """Of the hours in the budget; empty if they are not limited."""
    refused: str
    """Why the budget lets not everything start that is left; empty if it does."""
    device_hours: float
    """Trained so far, by all sessions."""
    num_reused: int
    """Trials that began from a pretrained state that was there already."""
    paused: str = ""
    """Why workers wait in the middle of their jobs; empty if they do not."""
    num_moved: int = 0
    """Jobs that this session moved from slow nodes."""
    num_resting: int = 0
    """Slots on slow nodes that are not used for now."""


def why_ended(snapshot: Snapshot) -> str:
    """Return why a search ended, from its last snapshot."""
    ended = num_ended(snapshot)
    if ended < snapshot.target:
        missing = f"{snapshot.target - ended} of {snapshot.target} trials"
        return f"{missing} not started: {snapshot.refused}"
    all_of_them = "the only trial" if snapshot.target == 1 else f"all {snapshot.target} trials"
    finished = f"{all_of_them} finished"
    return f"{finished}; controls not started: {snapshot.refused}" if snapshot.refused else finished


def num_ended(snapshot: Snapshot) -> int:
    """Return the number of trials that have a result."""
    return sum(snapshot.counts.get(state, 0) for state in ("complete", "pruned", "failed"))


def take_snapshot(board: Board, started: float, num_before: int) -> Snapshot:
    """Return the board as plain values.

    Args:
        board: of the session.
        started: `time.monotonic()` at its beginning.
        num_before: trials that earlier sessions had finished.
    """
    with board.changed:
        running = {
            job.trial
            for tune_id, job in board.live.items()
            if job.kind == "trial" and board.room.is_placed(tune_id)
        }
        entries = sorted(board.trials.items())
        trials = tuple(_trial(trial, entry, board, running) for trial, entry in entries)
        shared = tuple(
            _shared(key, shared, board)
            for key, shared in board.shared.items()
            if shared.reports or shared.state in ("running", "elsewhere")
        )
        spent, refused = board.spent(), board.why_refused()
        device_hours, num_reused = board.device_hours(), board.num_reused()
        num_moved, num_resting = board.num_moved, len(board.room.resting)
    counts = Counter(line.state for line in trials)
    seconds = time.monotonic() - started
    ended = sum(counts[state] for state in ("complete", "pruned", "failed"))
    here = ended - num_before
    return Snapshot(
        target=board.target,
        counts=dict(counts),
        trials=trials,
        shared=shared,
        best=_best(board, trials),
        seconds=seconds,
        eta_s=seconds / here * (board.target - ended) if here > 0 and not refused else None,
        left=what_is_left(board.space.budget, spent),
        refused=refused,
        device_hours=device_hours,
        num_reused=num_reused,
        paused=board.paused,
        num_moved=num_moved,
        num_resting=num_resting,
    )


def _trial(trial: str, entry: Entry, board: Board, running: set[str]) -> TrialLine:
    is_waiting = entry.state == "running" and trial not in running
    metric = board.space.objective.metric
    epoch, value = _last(entry, metric)
    return TrialLine(
        trial=trial,
        state="waiting" if is_waiting else entry.state,
        epoch=epoch,
        num_epochs=entry.spec.config.semi.epochs,
        value=value,
        params=entry.spec.params,
        reason=entry.reason,
        outcome=entry.outcome,
    )


def _shared(key: str, shared: Shared, board: Board) -> SharedLine:
    epoch, value = _last(shared, board.space.objective.metric)
    config = shared.spec.config
    phase = config.pretrain if shared.kind == "pretrain" else config.semi
    return SharedLine(shared.kind, key[:8], shared.state, epoch, phase.epochs, value)


def _last(entry: Entry | Shared, metric: str) -> tuple[int, float | None]:
    """Return the newest epoch and its primary objective."""
    if not entry.reports:
        return 0, None
    report = entry.reports[max(entry.reports)]
    return report.epoch, report.value(metric)


def _best(board: Board, trials: tuple[TrialLine, ...]) -> tuple[Best, ...]:
    """Return the best complete, feasible trial of each stratum that has one."""
    objectives = board.space.objectives
    found = []
    for stratum in board.space.strata:
        outcomes = {
            line.trial: line.outcome
            for line in trials
            if line.outcome
            and line.outcome.violation <= 0
            and all(line.params[path] == value for path, value in stratum.items())
        }
        if outcomes:
            first = min(outcomes, key=lambda trial: (outcomes[trial].losses, trial))
            value = objectives.primary.sign * outcomes[first].losses[0]
            size = len(first_front(outcomes)) if objectives.are_several else None
            found.append(Best(stratum, first, value, size))
    return tuple(found)
