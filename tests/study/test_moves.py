"""Which jobs move and what rests, with a board and a clock but without Ray."""

from __future__ import annotations

import pytest
from test_ledger import HOUR_S, METRIC, make, seal, shown

from ss3d.study.board import Board
from ss3d.study.job import Job, JobKind, Node, Progress
from ss3d.study.moves import Moves
from ss3d.trial.records import EpochReport, Phase

FAST, SLOW = Node("f" * 8, "one", "cpu"), Node("5" * 8, "two", "cpu")
EPOCHS = 8
STAY = 4
"""Epochs that are left when a job has straggled for three, after one to warm up."""


class Session:
    """Jobs that run on nodes, and what becomes of them.

    Args:
        slots: jobs at once.
        trials: that wait.
        budget: of the study, besides.
    """

    def __init__(self, slots: int = 3, trials: int = 2, budget: str = "") -> None:
        self.board, _, self.clock = make(budget, target=trials)
        self.board.widen(slots)
        for number in range(trials):
            assert self.board.next_number() == number
            self.board.add(seal(self.board, number), {"k"})
        self.moves = Moves(self.board, self.clock)

    def take(self, tune_id: str) -> Job | None:
        job = self.board.take(tune_id)
        return job and self.moves.steer(job)

    def tell(self, tune_id: str, node: Node, epoch: int, epoch_s: float) -> bool:
        """Let a worker report an epoch; return whether its job is to move."""
        progress = epoch_of("semi", epoch, epoch_s, node)
        self.board.report(tune_id, progress)
        return self.moves.is_due(tune_id, progress)

    def train(self, tune_id: str, node: Node, epochs: int, epoch_s: float) -> bool:
        """Let a worker report so many epochs from the beginning."""
        return [self.tell(tune_id, node, n, epoch_s if n else 0.0) for n in range(epochs + 1)][-1]

    def move(self, epoch_s: float = 100.0) -> None:
        """Let `a` train as it should and `b` straggle, and let its job go."""
        self.take("a")
        self.take("b")
        assert not self.train("a", FAST, 4, 1.0)
        assert self.train("b", SLOW, 4, epoch_s)
        assert self.moves.may_rest("b", SLOW)


def epoch_of(phase: Phase, epoch: int, epoch_s: float, node: Node) -> Progress:
    report = EpochReport(
        phase=phase,
        epoch=epoch,
        step=epoch,
        metrics={METRIC: 5.0},
        system={"epoch_s": epoch_s},
        digest="",
    )
    return Progress(1, (report,), node=node)


def test_a_job_moves_if_that_saves_more_than_a_start_costs() -> None:
    for epoch_s, is_due in ((1 + 29.9 / STAY, False), (1 + 30.1 / STAY, True)):
        session = Session()
        session.take("a")
        session.take("b")
        session.train("a", FAST, 4, 1.0)
        assert session.train("b", SLOW, 4, epoch_s) == is_due


def test_without_a_free_slot_it_waits_for_the_first_of_those_that_run() -> None:
    for epoch_s, is_due in ((1 + 33.9 / STAY, False), (1 + 34.1 / STAY, True)):
        session = Session(slots=2)
        session.take("a")
        session.take("b")
        session.train("a", FAST, 4, 1.0)
        assert session.train("b", SLOW, 4, epoch_s) == is_due, "8 epochs of 1 s over two slots"


def test_on_one_node_or_on_another_kind_of_node_nothing_moves() -> None:
    for node in (FAST, SLOW._replace(kind="cpu of last year")):
        session = Session()
        session.take("a")
        session.take("b")
        session.train("a", FAST, 4, 1.0)
        assert not session.train("b", node, EPOCHS, 1000.0)


def test_a_job_that_moves_waits_first_and_begins_elsewhere_while_its_slot_rests(
    caplog: pytest.LogCaptureFixture,
) -> None:
    session = Session(trials=3)
    with caplog.at_level("INFO"):
        session.move()
    assert caplog.messages == [
        "moved t00001 from node two (55555555): its epochs took 100.0 x the cohort's"
    ]
    assert session.board.live == {"a": Job("trial", "t00000", "k")}
    assert shown(session.board).num_moved == 1
    assert shown(session.board).num_resting == 1
    assert session.board.room.free() == 1
    assert session.take("c") == Job("trial", "t00001", "k", avoid=SLOW.id)
    assert session.take("d") is None, "two of three slots are in use"
    session.moves.forget("b")
    assert session.take("d") == Job("trial", "t00002", "k")
    assert shown(session.board).num_resting == 0


def test_a_worker_that_begins_where_its_job_was_slow_rests_as_well() -> None:
    session = Session(slots=4)
    session.move()
    session.take("c")
    assert session.moves.may_rest("c", SLOW)
    assert shown(session.board).num_moved == 1
    assert session.take("d") == Job("trial", "t00001", "k", avoid=SLOW.id)


def test_a_node_rests_as_long_as_the_job_would_have_stayed() -> None:
    session = Session(trials=3)
    session.move(100.0)
    session.take("c")
    for waited_s, may_rest in ((STAY * 100.0, True), (1.0, False)):
        session.clock.wait(waited_s / HOUR_S)
        session.tell("a", FAST, 5, 1.0)
        assert session.moves.may_rest("b", SLOW) == may_rest


def test_a_node_rests_for_an_hour_at_most() -> None:
    session = Session(trials=3)
    session.move(10_000.0)
    session.take("c")
    session.clock.wait(1.001)
    session.tell("a", FAST, 5, 1.0)
    assert not session.moves.may_rest("b", SLOW)


def test_a_node_that_is_alone_in_the_end_trains_again_and_is_compared_with_none() -> None:
    session = Session(trials=3)
    session.move()
    session.take("c")
    session.clock.wait(59 / HOUR_S)
    assert session.moves.may_rest("b", SLOW)
    session.clock.wait(2 / HOUR_S)
    assert not session.moves.may_rest("b", SLOW)
    assert session.moves.may_rest("c", SLOW) is False
    session.moves.forget("b")
    session.moves.forget("c")
    assert session.take("d") == Job("trial", "t00001", "k")
    assert not session.train("d", SLOW, EPOCHS - 1, 100.0)


def test_nothing_rests_when_there_is_nothing_left_to_begin() -> None:
    session = Session()
    session.move()
    assert session.moves.may_rest("b", SLOW)
    session.take("c")
    assert not session.moves.may_rest("b", SLOW)


def test_a_job_that_is_slow_on_a_second_node_is_slow_by_itself() -> None:
    session = Session()
    session.move()
    third = FAST._replace(id="3" * 8)
    session.take("c")
    assert not session.train("c", third, EPOCHS - 1, 100.0), "nothing moves twice"
    assert not session.moves.may_rest("b", SLOW)


@pytest.mark.parametrize("extra", ["", "[resources.pretrain]\ncpus = 2\n"])
def test_one_job_runs_even_if_all_slots_rest_and_however_large_it_is(extra: str) -> None:
    board, _, _ = make("", extra)
    board.widen(2)
    board.add(seal(board, 0, "k"), set())
    large = Job("pretrain", "t00000", "k")
    assert board.take("a") == large
    assert board.let_go("a") == large
    assert board.take("b") == large
    assert board.let_go("b") == large
    assert board.take("c") == large
    assert board.room.free() <= 0


def test_a_worker_that_dies_as_it_rests_harms_nothing() -> None:
    session = Session()
    session.move()
    session.board.lose("b", "its node died")
    session.moves.forget("b")
    assert session.board.loss == ""
    assert session.board.room.free() == 2


def test_a_job_that_moves_has_begun_so_it_may_finish_after_the_goal() -> None:
    session = Session(trials=3, budget="target = 9.0")
    session.move()
    done = epoch_of("semi", EPOCHS, 1.0, FAST)
    session.board.end("a", Progress(1, done.reports, is_done=True))
    assert session.board.why_refused().startswith("target 9 reached")
    assert not session.board.is_exhausted()
    assert session.take("c") == Job("trial", "t00001", "k", avoid=SLOW.id)
    assert session.take("d") is None


def test_what_a_job_that_moves_needs_stays_reserved() -> None:
    session = Session(budget="hours = 1000")
    session.take("a")
    before = session.board.spent().device_hours
    assert session.board.let_go("a") == Job("trial", "t00000", "k")
    assert session.board.spent().device_hours == before


def test_a_trial_that_is_stopped_while_it_moves_begins_no_more() -> None:
    session = Session()
    session.move()
    assert not session.board.stop("t00001")
    assert session.board.trials["t00001"].state == "pruned"
    assert session.take("c") is None


@pytest.mark.parametrize("kind", ["pretrain", "control"])
def test_what_trials_share_moves_as_well(kind: JobKind) -> None:
    board = with_shared(kind)
    moves = Moves(board)
    phase: Phase = "pretrain" if kind == "pretrain" else "semi"
    jobs = [board.take(name) for name in ("a", "b")]
    assert [job and job.kind for job in jobs] == [kind, kind]
    due = [
        moves.is_due(name, epoch_of(phase, epoch, epoch_s, node))
        for name, node, epoch_s in (("a", FAST, 1.0), ("b", SLOW, 100.0))
        for epoch in range(5)
    ]
    assert due == [False] * 9 + [True]
    assert moves.may_rest("b", SLOW)
    assert board.take("c") == jobs[1]


def with_shared(kind: JobKind) -> Board:
    """A board that hands out two jobs of a kind first."""
    board, _, _ = make("", "controls = true\n")
    board.widen(3)
    for number, key in enumerate("kl"):
        spec = seal(board, number, key, f"control-{key}")
        board.add(spec, {key} if kind == "control" else set())
        if kind == "control":
            assert board.take("t") == Job("trial", spec.trial, key)
            board.end("t", Progress(1, epoch_of("semi", 8, 1.0, FAST).reports, is_done=True))
    return board


def test_a_progress_says_where_it_was_made() -> None:
    told = Progress(2, epoch_of("semi", 1, 1.0, SLOW).reports, node=SLOW, has_let_go=True)
    assert Progress.from_json(told.to_json()) == told
