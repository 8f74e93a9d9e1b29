"""The books of a study, and the board that asks them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
from test_board import METRIC, TEXT, failed, progress, seal

from ss3d.study.board import Board
from ss3d.study.budget import Need
from ss3d.study.job import Job, Progress
from ss3d.study.ledger import Ledger, Past, Work
from ss3d.study.live import Snapshot, take_snapshot, why_ended
from ss3d.study.rungs import NeverStop
from ss3d.study.space import parse_space
from ss3d.study.toml_lines import TomlFile
from ss3d.trial.dominance import Outcome
from ss3d.trial.records import EpochReport, Phase, SharedRecord

HOUR_S = 3600.0
STRATA = """strata = ["model.num_heads"]
[parameters."model.num_heads"]
type = "categorical"
choices = [1, 2]
"""


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def wait(self, hours: float) -> None:
        self.now += hours * HOUR_S


def epochs(count: int, hours: float, phase: Phase = "semi", value: float = 5.0) -> Progress:
    """The reports of so many epochs, and of epoch 0, which takes no time."""
    reports = tuple(
        EpochReport(
            phase=phase,
            epoch=epoch,
            step=epoch,
            metrics={METRIC: value},
            system={"epoch_s": hours * HOUR_S if epoch else 0.0},
            digest="",
        )
        for epoch in range(count + 1)
    )
    return Progress(1, reports)


def end(board: Board, name: str, done: Progress) -> None:
    board.end(name, Progress(done.attempt, done.reports, is_done=True, failure=done.failure))


def make(
    budget: str, extra: str = "", past: Past | None = None, target: int = 8
) -> tuple[Board, Ledger, Clock]:
    clock = Clock()
    head, resources = ("", extra) if extra.startswith("[") else (extra, "")
    epochs_of = "pretrain.epochs = 8\nsemi.epochs = 8\n"
    text = TEXT.replace("[base]\n", f"[base]\n{epochs_of}")
    text = f"{head}[budget]\n{budget}\n{resources}{text}"
    space = parse_space(TomlFile(text, "x.toml"), "x")
    ledger = Ledger(space, past or Past(), clock)
    board = Board(space, NeverStop(), target, {}, ledger)
    board.widen(8)
    return board, ledger, clock


def shown(board: Board) -> Snapshot:
    return take_snapshot(board, 0.0, 0)


def test_a_job_needs_what_its_key_needs_else_what_all_need_on_average() -> None:
    _, ledger, _ = make("", "[resources]\ncpus = 2")
    ledger.book(Work("a", "semi", "slow", 4), epochs(4, 3.0).reports)
    ledger.book(Work("b", "semi", "fast", 4), epochs(4, 1.0).reports)
    ledger.book(Work("c", "semi", "fast", 4), epochs(2, 1.0).reports)
    expected = [("slow", 12.0), ("fast", 4.0), ("new", 4 * 18 / 10)]
    for key, hours in expected:
        assert ledger.need(Work("d", "semi", key, 4)) == Need(
            pytest.approx(hours), pytest.approx(2 * hours)
        )
    assert ledger.need(Work("c", "semi", "fast", 4)).hours == pytest.approx(2.0)
    assert ledger.need(Work("p", "pretrain", "fast", 4)).hours == 0.0


def test_all_that_was_trained_is_spent_once_and_what_runs_is_expected_to_end() -> None:
    _, ledger, clock = make("", "[resources]\ncpus = 2", Past(7200.0, {"k": HOUR_S}))
    clock.wait(0.5)
    work = Work("t00000", "semi", "k", 4)
    for _ in range(2):
        ledger.book(work, epochs(1, 1.0).reports)
        ledger.book(Work("k", "pretrain", "k", 2), epochs(1, 1.0, "pretrain").reports)
    assert ledger.spent([]).hours == pytest.approx(2.5)
    assert ledger.spent([]).device_hours == pytest.approx(2 * 2.0)
    assert ledger.spent([work]).device_hours == pytest.approx(2 * 5.0)
    ledger.book(Work("k", "pretrain", "k", 2), epochs(2, 1.0, "pretrain").reports)
    assert ledger.spent([]).device_hours == pytest.approx(2 * 3.0)
    assert ledger.trained(["k", "other"]) == {"k": 2 * HOUR_S}


def test_gpus_count_where_a_job_has_some() -> None:
    _, ledger, _ = make("", "[resources]\ncpus = 4\ngpus = 0.5")
    ledger.book(Work("a", "semi", "k", 2), epochs(2, 1.0).reports)
    assert ledger.spent([]).device_hours == pytest.approx(1.0)


def test_a_pretraining_counts_with_its_own_devices_in_this_session_and_in_earlier_ones() -> None:
    shares = "[resources]\ngpus = 0.25\n[resources.pretrain]\ngpus = 1\n"
    board, ledger, _ = make("", shares, Past(0.0, {"old": 2 * HOUR_S}))
    reports = epochs(8, 0.25, "pretrain").reports
    config = board.space.base
    ledger.learn(
        SharedRecord(key="old", config=config, reports=reports, seconds=1.0, complete=True)
    )
    assert ledger.device_hours == pytest.approx(1 * 2.0)
    ledger.book(Work("new", "pretrain", "new", 4), epochs(2, 1.0, "pretrain").reports)
    ledger.book(Work("t00000", "semi", "new", 4), epochs(2, 1.0).reports)
    assert ledger.device_hours == pytest.approx(1 * 4.0 + 0.25 * 2.0)
    pretrain, trial = Work("p", "pretrain", "new", 4), Work("t", "semi", "new", 8)
    assert ledger.need(pretrain, trial) == Need(hours=4.0 + 8.0, device_hours=1 * 4.0 + 0.25 * 8.0)
    assert ledger.spent([trial]).device_hours == pytest.approx(4.5 + 0.25 * 8.0)


def test_the_speed_of_what_others_pretrained_is_known_but_not_spent() -> None:
    board, ledger, _ = make("")
    reports = epochs(8, 0.25, "pretrain").reports
    config = board.space.base
    ledger.learn(SharedRecord(key="k", config=config, reports=reports, seconds=1.0, complete=True))
    assert ledger.need(Work("new", "pretrain", "new", 8)).hours == pytest.approx(2.0)
    assert ledger.spent([]).device_hours == 0.0


def test_a_plateau_is_that_of_the_stratum_that_became_better_last() -> None:
    board, ledger, _ = make("", STRATA)
    specs = [
        seal(board, number).model_copy(update={"stratum": board.space.stratum(number)})
        for number in range(7)
    ]
    flat = []
    for spec, value in zip(specs, (5.0, None, 6.0, 4.0, 4.5, None, None), strict=True):
        ledger.finish(spec, None if value is None else Outcome((value,)))
        flat.append(ledger.spent([]).flat_for)
    assert flat == [0, 0, 0, 0, 0, 0, 1]
    assert (ledger.spent([]).best, ledger.spent([]).best_trial) == (4.0, "t00003")


def test_what_is_no_number_is_no_best() -> None:
    board, ledger, _ = make("")
    ledger.finish(seal(board, 0), Outcome((math.nan,), math.inf))
    assert ledger.spent([]).best is None
    ledger.finish(seal(board, 1), Outcome((5.0,)))
    assert ledger.spent([]).best_trial == "t00001"


def run_one(board: Board, number: int, name: str, done: Progress) -> None:
    """Propose, hand out and end a trial whose pretrained state is there."""
    assert board.next_number() == number
    spec = seal(board, number)
    board.add(spec, {"k"})
    assert board.take(name) == Job("trial", spec.trial, "k")
    end(board, name, done)
    if board.trials[spec.trial].state != "running":
        board.committed(*board_result(board, spec.trial))


def board_result(board: Board, trial: str) -> tuple:
    return trial, board.ended(trial)[1]


def test_nothing_starts_that_would_not_finish_in_time() -> None:
    board, _, clock = make("hours = 3")
    run_one(board, 0, "a", epochs(8, 0.125))  # an hour
    clock.wait(2.0)
    run_one(board, 1, "b", epochs(8, 0.125))
    assert not board.is_exhausted()
    clock.wait(0.125)
    assert board.next_number() is None
    assert board.is_exhausted()
    board.add(seal(board, 2), {"k"})
    assert board.take("c") is None
    assert shown(board).left == "0.88 of 3 hours left"
    assert why_ended(shown(board)) == (
        "6 of 8 trials not started: 0.88 of 3 hours left, a trial needs 1"
    )


def test_the_pretraining_of_a_trial_belongs_to_what_it_needs() -> None:
    board, _, clock = make("hours = 3")
    board.add(seal(board, 0), set())
    board.take("p")
    end(board, "p", epochs(8, 0.0625, "pretrain"))  # half an hour
    board.take("t")
    end(board, "t", epochs(8, 0.125))  # an hour
    clock.wait(1.75)
    board.add(seal(board, 1, "other"), set())
    assert board.take("q") is None
    assert board.is_exhausted()
    assert "a trial needs 1.5" in shown(board).refused
    board.add(seal(board, 2), {"k"})
    assert board.take("q") == Job("trial", "t00002", "k")


def test_what_runs_may_finish_and_is_reserved_for() -> None:
    board, _, clock = make("device_hours = 2.5")
    run_one(board, 0, "a", epochs(8, 0.125))
    for number in (1, 2):
        board.add(seal(board, number), {"k"})
    assert board.take("b") == Job("trial", "t00001", "k")
    assert board.take("c") is None  # one spent, one reserved, half left
    clock.wait(1000.0)
    assert not board.is_exhausted()
    end(board, "b", epochs(2, 0.125))  # ended early: its rest is free again
    assert board.take("c") == Job("trial", "t00002", "k")
    end(board, "c", epochs(8, 0.125))
    assert board.is_exhausted()
    assert shown(board).left == "0.25 of 2.5 device hours left"


def test_a_job_that_failed_is_paid_for() -> None:
    board, _, _ = make("device_hours = 1")
    board.add(seal(board, 0), {"k"})
    board.take("a")
    board.report("a", epochs(4, 0.25))
    board.end("a", failed("loss is not finite"))
    assert board.is_exhausted()
    assert why_ended(shown(board)) == (
        "7 of 8 trials not started: 0 of 1 device hours left, a trial needs 2"
    )


@pytest.mark.parametrize(
    ("budget", "values", "reason"),
    [
        ("target = 3.5", (5.0, 4.0, 3.5), "target 3.5 reached by t00002"),
        ("plateau = 2", (5.0, 4.0, 4.5, 4.0), "no better best in the last 2 trials"),
    ],
)
def test_a_study_that_reached_its_goal_starts_no_trial(
    budget: str, values: tuple[float, ...], reason: str
) -> None:
    board, _, _ = make(budget)
    for number, value in enumerate(values):
        assert not board.is_exhausted()
        run_one(board, number, "a", epochs(2, 0.0, value=value))
    assert board.next_number() is None
    assert board.is_exhausted()
    missing = 8 - len(values)
    assert why_ended(shown(board)) == f"{missing} of 8 trials not started: {reason}"


def test_a_resume_with_the_same_budget_starts_nothing() -> None:
    first, _, _ = make("plateau = 2")
    for number, value in enumerate((5.0, 6.0, 7.0)):
        run_one(first, number, "a", epochs(2, 0.0, value=value))
    again, _, _ = make("plateau = 2")
    for trial in first.trials:
        again.add_finished(*first.ended(trial), {"k"})
    again.add(seal(again, 3), {"k"})
    assert again.is_exhausted()
    assert again.take("x") is None


def test_controls_are_owed_after_a_goal_but_not_after_the_time() -> None:
    def finish_one(board: Board) -> None:
        board.add(seal(board, 0, control="c"), {"k"})
        board.take("a")
        end(board, "a", epochs(8, 0.125))

    goal, _, _ = make("target = 9")
    finish_one(goal)
    assert goal.take("c") == Job("control", "t00000", "c")
    late, _, clock = make("hours = 2", target=1)
    finish_one(late)
    clock.wait(1.5)
    assert late.take("c") is None
    assert late.is_exhausted()
    assert why_ended(shown(late)) == (
        "the only trial finished; controls not started: 0.5 of 2 hours left, a trial needs 1"
    )


def test_a_search_that_finished_all_trials_says_so() -> None:
    board, _, _ = make("trials = 1", target=1)
    run_one(board, 0, "a", epochs(2, 0.0))
    assert (shown(board).left, shown(board).refused) == ("", "")
    assert why_ended(shown(board)) == "the only trial finished"


@pytest.mark.parametrize(
    ("budget", "make_done"),
    [
        ("device_hours = 9", lambda n: epochs(8, 0.0625 * (1 + n % 2))),
        ("plateau = 3", lambda n: epochs(2, 0.0, value=10.0 - min(n, 4))),
        ("target = 6", lambda n: epochs(2, 0.0, value=10.0 - n)),
        ("hours = 5", lambda n: epochs(8, 0.0625)),
    ],
)
@pytest.mark.parametrize("slots", [1, 3])
def test_every_search_comes_to_an_end_within_its_budget(
    budget: str, make_done: Callable[[int], Progress], slots: int
) -> None:
    """As Tune and the proposer ask, in turn: either something goes on or it is exhausted."""
    board, ledger, clock = make(budget, target=40)
    board.widen(slots)
    running: list[tuple[str, Job]] = []
    for step in itertools.count():
        assert step < 1000
        while (number := board.next_number()) is not None:
            board.add(seal(board, number, key=f"k{number % 2}"), set())
        while (job := board.take(f"n{step}-{len(running)}")) is not None:
            running.append((f"n{step}-{len(running)}", job))
        if not running:
            break
        name, job = running.pop(0)
        clock.wait(0.25)
        if job.kind == "pretrain":
            end(board, name, epochs(8, 0.03125, "pretrain"))
        else:
            end(board, name, make_done(int(job.trial[1:])))
            board.committed(*board_result(board, job.trial))
    assert board.is_exhausted()
    spent = ledger.spent([])
    limit = board.space.budget.device_hours
    assert limit is None or spent.device_hours <= limit
    assert 0 < len([e for e in board.trials.values() if e.state == "complete"]) < 40
    assert why_ended(shown(board)).endswith(shown(board).refused)


def test_trials_that_were_reported_are_still_known_by_their_progress() -> None:
    board, ledger, _ = make("device_hours = 100")
    board.add(seal(board, 0), {"k"})
    board.take("a")
    board.report("a", progress(5.0, 4.0))
    assert ledger.spent([]).device_hours == pytest.approx(2.0 / HOUR_S)
