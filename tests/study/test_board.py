"""The board as Tune's loop and the recorder use it, without either."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ss3d.study.board import Board
from ss3d.study.deaths import Death
from ss3d.study.events import Decided, Event
from ss3d.study.job import Job, Progress
from ss3d.study.ledger import Ledger, Past
from ss3d.study.paired import PairedTest
from ss3d.study.proposals import propose
from ss3d.study.rungs import NeverStop, Rule, SuccessiveHalving
from ss3d.study.space import Space, parse_space
from ss3d.study.toml_lines import TomlFile
from ss3d.trial.records import EpochReport, TrialSpec

TEXT = """
[base]
preset = "tiny"
[parameters."semi.ema_decay"]
type = "float"
low = 0.9
high = 0.999
"""
METRIC = "val/cd_l1"


def make_space(extra: str = "") -> Space:
    return parse_space(TomlFile(extra + TEXT, "x.toml"), "x")


def make_board(rule: Rule | None = None, target: int = 4, space: Space | None = None) -> Board:
    space = space or make_space()
    board = Board(space, rule or NeverStop(), target, {}, Ledger(space, Past()))
    board.widen(8)
    return board


def seal(board: Board, number: int, key: str = "k", control: str = "") -> TrialSpec:
    return seal_on(board.space, number, key, control)


def seal_on(space: Space, number: int, key: str = "k", control: str = "") -> TrialSpec:
    proposal = propose(space, [], number)
    return TrialSpec(
        study="x",
        trial=f"t{number:05d}",
        params=proposal.params,
        distributions=proposal.distributions,
        stratum={},
        config=space.base.override(proposal.params),
        pretrain_key=key,
        control_key=control,
        code_version="c",
        data_hash="d",
        versions={},
        attrs={"internal": proposal.internal, "system": proposal.system_attrs},
        proposed_at=0.0,
    )


def progress(*values: float, start: int = 0, attempt: int = 1, is_done: bool = False) -> Progress:
    reports = tuple(
        EpochReport(
            phase="semi",
            epoch=epoch,
            step=epoch,
            metrics={METRIC: value},
            system={"epoch_s": 1.0},
            digest="",
        )
        for epoch, value in enumerate(values, start=start)
    )
    return Progress(attempt, reports, is_done=is_done)


def failed(reason: str) -> Progress:
    return Progress(1, (), is_done=True, failure=reason)


def events(board: Board) -> list[Event | None]:
    found = []
    while not board.events.empty():
        found.append(board.events.get())
    return found


def test_a_pretrain_is_handed_out_once_and_trials_wait_for_it() -> None:
    board = make_board()
    for number in range(3):
        board.add(seal(board, number), set())
    assert board.take("a") == Job("pretrain", "t00000", "k")
    assert board.take("b") is None
    board.end("a", Progress(1, (), is_done=True))
    assert [board.take(name) for name in "bcd"] == [
        Job("trial", f"t{number:05d}", "k") for number in range(3)
    ]
    assert board.take("e") is None


def test_no_more_jobs_are_handed_out_than_there_are_slots() -> None:
    board = make_board()
    board.widen(1)
    for number in range(2):
        board.add(seal(board, number), {"k"})
    assert board.take("a")
    assert board.take("b") is None
    board.end("a", progress(5.0, 4.0, is_done=True))
    assert board.take("b") == Job("trial", "t00001", "k")


def test_the_sampler_sees_the_newest_trial_running_whether_it_ended_or_not() -> None:
    board = make_board()
    for number in range(2):
        board.add(seal(board, number), {"k"})
    for number in range(2):
        board.take(f"tune{number}")
        board.end(f"tune{number}", progress(9.0, 3.0, is_done=True))
        board.committed(f"t{number:05d}", board.ended(f"t{number:05d}")[1])
    assert [trial.state.name for trial in board.history()] == ["COMPLETE", "RUNNING"]
    assert board.history()[1].value is None
    assert board.history()[1].intermediate_values == {}


def test_values_of_single_models_are_let_go_once_stored_and_still_compared() -> None:
    rule = PairedTest(first_rung=1, factor=2, epochs=2, min_trials=2, alpha=0.05)
    board = make_board(rule)
    for number in range(2):
        board.add(seal(board, number), {"k"})
        board.take(f"tune{number}")
    board.report("tune0", on_models(3.0, 3.0, 3.5, 2.5))
    board.end("tune0", progress(2.0, start=2, is_done=True))
    trial, result = board.ended("t00000")
    assert [len(report.per_model) for report in result.reports] == [3, 0]
    board.committed("t00000", result)
    assert [len(r.per_model) for r in board.record("t00000").reports] == [0, 0]
    decision = board.report("tune1", on_models(4.0, 4.0, 4.5, 3.5))
    assert decision is not None
    assert decision.difference is not None
    assert (decision.stop, decision.difference.best) == (True, "t00000")

    again = make_board(rule)
    again.add_finished(trial, result, {"k"})
    again.add(seal(again, 1), {"k"})
    again.take("tune1")
    assert again.report("tune1", on_models(4.0, 4.0, 4.5, 3.5)) == decision
    assert [len(r.per_model) for r in again.record("t00000").reports] == [0, 0]


def on_models(value: float, *per_model: float) -> Progress:
    (report,) = progress(value, start=1).reports
    return Progress(1, (report.model_copy(update={"per_model": per_model}),))


def test_a_trial_that_the_rule_stops_is_pruned_with_a_reason() -> None:
    board = make_board(SuccessiveHalving(first_rung=1, factor=2))
    for number in range(2):
        board.add(seal(board, number), {"k"})
        board.take(f"tune{number}")
    going = board.report("tune0", progress(9.0, 3.0))
    stopped = board.report("tune1", progress(9.0, 4.0))
    assert going is not None
    assert not going.stop
    assert stopped is not None
    assert stopped.stop
    board.end("tune1", progress(9.0, 4.0))
    _, result = board.ended("t00001")
    assert (result.state, result.values) == ("pruned", {METRIC: 4.0})
    assert result.reason == "stopped by asha/2 at epoch 1: 4, rank 2 of 2, cutoff 3"
    board.end("tune0", progress(2.0, start=2, is_done=True))
    _, result = board.ended("t00000")
    assert (result.state, result.values) == ("complete", {METRIC: 2.0})


def test_epochs_after_a_stop_do_not_count() -> None:
    board = make_board(SuccessiveHalving(first_rung=1, factor=2))
    for number in range(2):
        board.add(seal(board, number), {"k"})
        board.take(f"tune{number}")
    board.report("tune0", progress(9.0, 3.0))
    board.report("tune1", progress(9.0, 4.0, 1.0, attempt=2))
    board.end("tune1", progress(attempt=2))
    _, result = board.ended("t00001")
    assert [report.epoch for report in result.reports] == [0, 1]
    assert (result.values, result.attempt) == ({METRIC: 4.0}, 2)


def test_decisions_to_maximize_keep_the_objective_s_own_sign() -> None:
    space = make_space('[objective]\nmetric = "val/f_score"\ndirection = "maximize"\n')
    board = make_board(SuccessiveHalving(first_rung=1, factor=2), space=space)
    for number, score in enumerate((0.5, 0.25)):
        board.add(seal(board, number), {"k"})
        board.take(f"tune{number}")
        report = (
            progress(0.0, 1.0).reports[1].model_copy(update={"metrics": {"val/f_score": score}})
        )
        board.report(f"tune{number}", Progress(1, (report,)))
    decided = [event.decision for event in events(board) if isinstance(event, Decided)]
    assert [(d.stop, d.value, d.cutoff, d.rank) for d in decided] == [
        (False, 0.5, 0.5, 1),
        (True, 0.25, 0.5, 2),
    ]
    assert "epoch 1: 0.25, rank 2 of 2, cutoff 0.5" in board.trials["t00001"].reason


def test_a_pretrain_that_fails_by_itself_fails_what_waits_for_it_and_nothing_else() -> None:
    board = make_board()
    for number, key in enumerate(("k", "other", "k")):
        board.add(seal(board, number, key), set())
    board.take("a")
    board.end("a", failed("loss is not finite"))
    states = [entry.state for entry in board.trials.values()]
    assert states == ["failed", "running", "failed"]
    assert board.ended("t00002")[1].reason == "its pretraining failed: loss is not finite"
    board.add(seal(board, 3), set())
    assert board.trials["t00003"].state == "failed"
    assert board.take("b") == Job("pretrain", "t00001", "other")


def test_what_is_lost_by_no_fault_of_its_own_stays_open() -> None:
    board = make_board()
    board.add(seal(board, 0), set())
    board.add(seal(board, 1, "ready"), {"ready"})
    board.take("a")
    board.take("b")
    events(board)
    board.lose("a", "disk full")
    assert board.loss == "pretrain-k: disk full"
    board.lose("b", "disk full")
    assert [entry.state for entry in board.trials.values()] == ["running", "running"]
    assert board.shared["k"].state == "waiting"
    assert events(board) == []
    assert board.take("c") is None
    assert not board.is_exhausted()


def test_a_job_is_lost_by_three_deaths_without_an_epoch_between_them() -> None:
    board = make_board()
    board.add(seal(board, 0), {"k"})
    board.take("a")
    for _ in range(5):
        board.die("a", Death("spot notice", is_killed=False, is_told=True))
    for epoch in range(5):
        board.die("a", Death("node lost", is_killed=False))
        board.die("a", Death("killed", is_killed=True))
        board.report("a", progress(5.0, start=epoch))
    board.report("a", progress(5.0, start=4))
    for _ in range(2):
        board.die("a", Death("disk full", is_killed=False))
        board.report("a", progress(5.0, start=4))  # an epoch again that is known
    assert board.loss == ""
    board.die("a", Death("disk full", is_killed=False))
    assert board.loss == "t00000: its worker failed several times: disk full"


def test_a_job_whose_workers_are_killed_fails_by_its_next_worker() -> None:
    board, killed = make_board(), Death("by SIGKILL", is_killed=True)
    board.add(seal(board, 0), {"k"})
    board.take("a")
    assert [board.die("a", killed) for _ in range(2)] == ["", ""]
    assert board.die("a", killed).startswith("its workers were killed 3 times")
    assert (board.loss, "a" in board.live) == ("", True)
    board.die("a", killed)  # the worker that was to tell it
    assert board.loss == "t00000: its worker failed several times: by SIGKILL"


def test_what_is_too_large_is_so_for_all_that_wait_for_it_and_after_a_resume() -> None:
    board = make_board()
    for number in range(2):
        board.add(seal(board, number), set())
    board.take("a")
    board.end("a", replace(failed("out of memory"), is_too_large=True))
    results = [board.ended(f"t{number:05d}") for number in range(2)]
    again = make_board()
    for spec, result in results:
        assert (result.state, result.is_too_large) == ("failed", True)
        again.add_finished(spec, result, set())
        board.committed(spec.trial, result)
        assert again.record(spec.trial).result == result
    assert [trial.constraints for trial in board.history()[:1]] == [{"memory": 1.0}]


def test_late_and_repeated_tells_change_nothing() -> None:
    board = make_board()
    board.add(seal(board, 0), {"k"})
    board.take("a")
    board.report("a", progress(5.0))
    board.report("a", progress(5.0))
    board.end("a", progress(4.0, start=1, is_done=True))
    before = board.ended("t00000")
    events(board)
    assert board.report("a", progress(1.0, start=2)) is None
    board.end("a", failed("late"))
    board.lose("a", "late")
    assert board.report("never", progress(1.0)) is None
    assert board.ended("t00000") == before
    assert [report.epoch for report in before[1].reports] == [0, 1]
    assert events(board) == []
    assert board.loss == ""


def test_a_result_is_shown_only_once_the_store_has_it() -> None:
    board = make_board()
    board.add(seal(board, 0), {"k"})
    board.take("a")
    board.end("a", progress(5.0, 4.0, is_done=True))
    assert board.record("t00000").result is None
    _, result = board.ended("t00000")
    board.committed("t00000", result)
    assert board.record("t00000").result == result


@pytest.mark.parametrize("slots", [1, 3])
def test_exactly_the_budget_is_proposed_and_then_nothing(slots: int) -> None:
    board = make_board(target=5)
    board.widen(slots)
    handed: list[str] = []
    while not board.is_exhausted():
        while (number := board.next_number()) is not None:
            board.add(seal(board, number), {"k"})
        job = board.take("a")
        assert job is not None
        handed.append(job.trial)
        board.end("a", progress(5.0, 4.0, is_done=True))
        board.committed(job.trial, board.ended(job.trial)[1])
    assert handed == [f"t{number:05d}" for number in range(5)]
    assert board.next_number() is None
    assert board.take("a") is None


def test_one_trial_more_than_there_are_slots_is_proposed_ahead() -> None:
    board = make_board(target=9)
    board.widen(2)
    while (number := board.next_number()) is not None:
        board.add(seal(board, number), {"k"})
    assert len(board.trials) == 3


def test_a_control_runs_once_after_the_trials_that_are_complete() -> None:
    board = make_board(target=3)
    for number in range(3):
        board.add(seal(board, number, control="c"), set())
    board.take("p")
    board.end("p", progress(is_done=True))
    for number, name in enumerate("abc"):
        assert board.take(name) == Job("trial", f"t{number:05d}", "k")
    board.end("a", progress(5.0, 4.0, is_done=True))
    board.end("b", progress(5.0, 4.5, is_done=True))
    assert board.take("d") == Job("control", "t00000", "c")
    board.end("c", progress(5.0, 4.5, is_done=True))
    assert board.take("e") is None
    assert not board.is_exhausted()
    board.report("d", progress(5.0, 4.8))
    assert board.trials["t00000"].state == "complete"
    board.end("d", progress(4.7, start=2, is_done=True))
    record = board.shared_record("c")
    assert (record.kind, record.complete, record.config.semi.lambda_u) == ("control", True, 0)
    assert [report.epoch for report in record.reports] == [0, 1, 2]
    assert board.is_exhausted()


def test_what_did_not_complete_needs_no_control() -> None:
    board = make_board(SuccessiveHalving(first_rung=1, factor=2), target=3)
    for number in range(3):
        board.add(seal(board, number, control=f"c{number}"), {"k"})
        board.take(f"tune{number}")
    board.report("tune0", progress(9.0, 3.0))
    stopped = board.report("tune1", progress(9.0, 5.0))
    assert stopped is not None
    assert stopped.stop
    board.end("tune1", progress(5.0, start=1))
    board.end("tune2", failed("loss is not finite"))
    assert board.take("x") is None
    board.end("tune0", progress(2.0, start=2, is_done=True))
    assert board.take("x") == Job("control", "t00000", "c0")


def test_a_control_that_fails_is_not_tried_again_and_ends_no_trial() -> None:
    board = make_board(target=1)
    board.add(seal(board, 0, control="c"), {"k"})
    board.take("a")
    board.end("a", progress(5.0, 4.0, is_done=True))
    board.take("b")
    board.end("b", failed("loss is not finite"))
    assert board.is_exhausted()
    assert board.trials["t00000"].state == "complete"
    assert board.shared["c"].reason == "loss is not finite"


def test_a_control_that_is_lost_stays_open() -> None:
    board = make_board(target=1)
    board.add(seal(board, 0, control="c"), {"k"})
    board.take("a")
    board.end("a", progress(5.0, 4.0, is_done=True))
    board.take("b")
    board.lose("b", "disk full")
    assert board.loss == "control-c: disk full"
    assert not board.is_exhausted()


def test_a_resumed_study_runs_the_controls_that_are_missing() -> None:
    before = make_board(target=2)
    for number in range(2):
        before.add(seal(before, number, control="c"), {"k"})
        before.take(f"a{number}")
        before.end(f"a{number}", progress(5.0, 4.0, is_done=True))
    ended = [before.ended(trial) for trial in before.trials]
    again, done = make_board(target=2), make_board(target=2)
    for spec, result in ended:
        again.add_finished(spec, result, {"k"})
        done.add_finished(spec, result, {"k", "c"})
    assert done.is_exhausted()
    assert again.take("x") == Job("control", "t00000", "c")
    assert again.take("y") is None
    again.end("x", progress(5.0, is_done=True))
    assert again.is_exhausted()


def test_a_control_whose_pretraining_cannot_be_made_again_is_given_up() -> None:
    before = make_board(target=1)
    before.add(seal(before, 0, control="c"), {"k"})
    before.take("a")
    before.end("a", progress(5.0, 4.0, is_done=True))
    again = make_board(target=1)
    again.add_finished(*before.ended("t00000"), set())
    assert again.take("x") == Job("pretrain", "t00000", "k")
    again.end("x", failed("loss is not finite"))
    assert again.take("y") is None
    assert again.is_exhausted()


def test_a_pretraining_that_nobody_waits_for_is_not_made() -> None:
    before = make_board(target=2)
    before.add(seal(before, 0), {"k"})
    before.take("a")
    before.end("a", progress(5.0, 4.0, is_done=True))
    again = make_board(target=2)
    again.add_finished(*before.ended("t00000"), set())
    again.add(seal(again, 1, "other"), {"other"})
    assert again.take("x") == Job("trial", "t00001", "other")
    assert again.take("y") is None


def test_no_job_comes_any_more_as_soon_as_the_last_one_runs() -> None:
    board = make_board(target=2)
    board.add(seal(board, 0), {"k"})
    assert not board.is_ending()  # nothing runs
    board.take("a")
    assert not board.is_ending()  # another is to be proposed
    board.add(seal(board, 1, control="c"), {"k"})
    assert not board.is_ending()
    board.take("b")
    assert not board.is_ending()  # its control comes if it is complete
    board.end("b", progress(5.0, 4.0, is_done=True))
    assert board.take("c") == Job("control", "t00001", "c")
    assert not board.is_ending()  # another driver may take it over, and leave it
    board.end("c", progress(5.0, 4.0, is_done=True))
    assert board.is_ending()
    assert board.let_go("a") == Job("trial", "t00000", "k")
    assert not board.is_ending()  # it goes on elsewhere
    board.take("d")
    assert board.is_ending()
    board.end("d", progress(5.0, 4.0, is_done=True))
    assert not board.is_ending()
    assert board.is_exhausted()
