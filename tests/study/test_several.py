"""Several objectives and constraints, from the file to what is shown; nothing is trained."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from study_records import put_epochs, put_spec
from test_board import TEXT, events, make_board, seal, seal_on
from test_pruners import Replay, coarse, replays, smooth
from test_pruners import decisions as plain_decisions
from typer.testing import CliRunner

import ss3d
from ss3d.cli.live_table import draw
from ss3d.cli.main import app
from ss3d.config import canonical_json
from ss3d.errors import ConfigError, RefusedError
from ss3d.report.leaderboard import leaderboard
from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.study.board import Board
from ss3d.study.brackets import Hyperband
from ss3d.study.budget import why_enough
from ss3d.study.cohort import Cohort, Curve
from ss3d.study.events import Decided
from ss3d.study.frozen import frozen_trial
from ss3d.study.job import Progress
from ss3d.study.journal import Journal
from ss3d.study.live import take_snapshot
from ss3d.study.proposals import propose
from ss3d.study.reconcile import reconcile
from ss3d.study.rungs import Decision, Rule, SuccessiveHalving, explain
from ss3d.study.space import Space, parse_space
from ss3d.study.tables import Budget
from ss3d.study.toml_lines import TomlFile
from ss3d.tracking.choice import choose_trial
from ss3d.trial.dominance import Outcome
from ss3d.trial.records import EpochReport, StudyRecord, TrialRecord, TrialSpec

OBJECTIVES = """
[[objective]]
metric = "val/cd_l1"
[[objective]]
metric = "val/f_score"
direction = "maximize"
"""
CONSTRAINTS = """
[[constraints]]
metric = "system/memory_mib"
most = 8000
"""
CD, SCORE, MEMORY = "val/cd_l1", "val/f_score", "system/memory_mib"


def parse(text: str) -> Space:
    return parse_space(TomlFile(text + TEXT, "x.toml"), "x")


@pytest.fixture(scope="module")
def space() -> Space:
    return parse(OBJECTIVES + CONSTRAINTS)


def report(epoch: int, cd: float, score: float, memory: float = 1000.0) -> EpochReport:
    return EpochReport(
        phase="semi",
        epoch=epoch,
        step=epoch,
        metrics={CD: cd, SCORE: score},
        system={"epoch_s": 1.0, "memory_mib": memory},
        digest="",
    )


def play(board: Board, *trials: tuple[float, float, float]) -> list[TrialRecord]:
    """Run trials to their end, or to where the rule stops them, one after the other."""
    for number, values in enumerate(trials):
        board.add(seal(board, number), {"k"})
        board.take(f"tune{number}")
        done = Progress(1, (report(1, *values),), is_done=True)
        decision = board.report(f"tune{number}", replace(done, is_done=False))
        board.end(f"tune{number}", replace(done, is_done=not (decision and decision.stop)))
        board.committed(f"t{number:05d}", board.ended(f"t{number:05d}")[1])
    return [board.record(trial) for trial in board.trials]


def told(board: Board) -> list[Decision]:
    return [event.decision for event in events(board) if isinstance(event, Decided)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            OBJECTIVES.replace("f_score", "fscore"),
            "x.toml:5: objective.1.metric: got 'val/fscore', expected one of val/cd_l1, "
            "val/cd_l1_sum, val/cd_l1_category_mean, val/cd_l1_teacher, val/gain, "
            "val/cd_pred_to_gt, val/cd_gt_to_pred, val/cd_l2, val/f_score, model/parameters, "
            "system/latency_ms, system/memory_mib, system/epoch_s; did you mean val/f_score?",
        ),
        (
            OBJECTIVES.replace("f_score", "cd_l1"),
            "x.toml:5: objective.1.metric: val/cd_l1 has a table already; write one",
        ),
        (
            OBJECTIVES.replace("maximize", "max"),
            "x.toml:6: objective.1.direction: got 'max', expected 'minimize' or 'maximize'",
        ),
        (
            '[objective]\nmetric = "val/cd_l1"\ndirection = "max"\n',
            "x.toml:3: objective.direction: got 'max', expected 'minimize' or 'maximize'",
        ),
        (
            CONSTRAINTS.replace("most = 8000", ""),
            "x.toml:2: constraints.0: has no bound; give most, least or both",
        ),
        (
            CONSTRAINTS + "least = 9000\n",
            "x.toml:5: constraints.0.least: got 9000, expected at most most = 8000",
        ),
        (
            CONSTRAINTS + CONSTRAINTS,
            "x.toml:7: constraints.1.metric: system/memory_mib has a table already; write one",
        ),
        (
            OBJECTIVES + '[pruner]\nname = "median"\n',
            "x.toml:8: pruner.name: median compares one number; with several objectives use asha, "
            "hyperband or none",
        ),
        (
            OBJECTIVES + "[budget]\ntarget = 3.0\n",
            "x.toml:8: budget.target: needs a single objective; with several use trials, hours or "
            "plateau",
        ),
    ],
)
def test_contradictions_are_told_with_their_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert str(caught.value).startswith(message)


# --- rungs


@pytest.mark.parametrize("rule", [SuccessiveHalving(2, 2), Hyperband(2, 2, epochs=6, seed=7)])
@settings(deadline=None, max_examples=25)
@given(replay=replays(st.one_of(smooth, coarse)))
def test_one_objective_by_its_places_is_one_objective_by_its_values(
    rule: Rule, replay: Replay
) -> None:
    placed = plain_decisions(_ByPlaces(rule), replay)
    plain = plain_decisions(rule, replay)
    assert placed.keys() == plain.keys()
    for where, decision in plain.items():
        other = placed[where]
        assert (decision is None) == (other is None)
        if decision and other:
            facts = ("stop", "rule", "rung", "rank", "num_peers")
            assert [getattr(decision, f) for f in facts] == [getattr(other, f) for f in facts]


class _ByPlaces(Rule):
    """A rule that is shown the one objective as an outcome."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule

    def decide(self, cohort: Cohort, trial: str, epoch: int) -> Decision | None:
        placed = {
            name: replace(c, outcomes={e: Outcome((v,)) for e, v in c.values.items()})
            for name, c in cohort.items()
        }
        return self._rule.decide(Cohort(placed), trial, epoch)

    def bracket(self, trial: str) -> int:
        return self._rule.bracket(trial)


def test_rungs_compare_fronts_and_a_decision_says_so(space: Space) -> None:
    board = make_board(SuccessiveHalving(first_rung=1, factor=2), space=space)
    records = play(board, (3.0, 0.25, 1.0), (2.0, 0.5, 1.0), (4.0, 0.75, 1.0), (3.5, 0.5, 1.0))
    found = [(d.stop, d.front, d.value, d.cutoff, d.rank) for d in told(board)]
    assert found == [
        (False, 1, 1.0, 1.0, 1),
        (False, 1, 1.0, 1.0, 1),
        (True, 1, 2.0, 1.0, 2),  # as far out as the other end, which has the better cd_l1
        (True, 2, 4.0, 2.0, 4),  # dominated, as is the first; that one has the better cd_l1
    ]
    assert records[3].result is not None
    assert records[3].result.reason == (
        "stopped by asha/2 at epoch 1: front 2, rank 4 of 4, cutoff rank 2"
    )


def test_what_violates_a_constraint_stops_before_all_others(space: Space) -> None:
    board = make_board(SuccessiveHalving(first_rung=1, factor=2), space=space)
    play(board, (3.0, 0.25, 1.0), (1.0, 0.9, 9000.0), (9.0, 0.1, 8500.0))
    assert [(d.stop, d.front, d.rank) for d in told(board)] == [
        (False, 1, 1),
        (True, 2, 2),
        (True, 2, 2),  # a smaller violation than the one before, but one
    ]


def test_no_number_never_goes_on_whatever_the_other_objective_is() -> None:
    lost = Outcome((math.nan, 1.0), math.inf)
    curves = {"t00000": Curve({1: math.nan}, outcomes={1: lost})}
    decision = SuccessiveHalving(1, 3).decide(Cohort(curves), "t00000", 1)
    assert decision is not None
    assert decision.stop


def test_stored_decisions_hold_again(space: Space) -> None:
    rule = SuccessiveHalving(first_rung=1, factor=2)
    trials = [(3.0, 0.25, 1.0), (2.0, 0.5, 1.0), (4.0, 0.75, 1.0)]
    first, second = make_board(rule, space=space), make_board(rule, space=space)
    play(first, *trials)
    play(second, *trials)
    assert told(first) == told(second)
    stored = Decision(stop=True, rule="asha/2", rung=1, value=5.0, cutoff=4.0, rank=2, num_peers=1)
    assert explain(stored) == "stopped by asha/2 at epoch 1: 5, rank 2 of 1, cutoff 4"


# --- the sampler


def history(space: Space, count: int) -> list[tuple[TrialSpec, FrozenTrial]]:
    """Propose trials; cd_l1 falls and memory grows with the parameter, every fourth is pruned."""
    board = make_board(space=space)
    found: list[tuple[TrialSpec, FrozenTrial]] = []
    for number in range(count):
        proposal = propose(space, [frozen for _, frozen in found], number)
        spec = seal_on(space, number).model_copy(
            update={
                "params": proposal.params,
                "distributions": proposal.distributions,
                "attrs": {"internal": proposal.internal, "system": proposal.system_attrs},
            }
        )
        decay = float(spec.params["semi.ema_decay"])
        board.add(spec, {"k"})
        board.take(spec.trial)
        one = report(1, 1 - decay, decay, 80000 * decay)
        board.end(spec.trial, Progress(1, (one,), is_done=number % 4 != 3))
        if number % 4 == 3:
            board.trials[spec.trial].keep([one])
        result = board.ended(spec.trial)[1]
        spec = TrialSpec.from_json(spec.to_json())
        found.append((spec, frozen_trial(spec, result, space.objectives)))
    return found


SAMPLERS = ['name = "tpe"\nn_startup_trials = 4', 'name = "random"']


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("searched", [OBJECTIVES, OBJECTIVES + CONSTRAINTS, CONSTRAINTS])
def test_the_same_history_gives_the_same_proposals(sampler: str, searched: str) -> None:
    space = parse(f"{searched}\n[sampler]\n{sampler}\n")
    first, again = history(space, 12), history(space, 12)
    assert [spec.params for spec, _ in first] == [spec.params for spec, _ in again]


def test_optuna_knows_all_values_and_what_is_infeasible(space: Space) -> None:
    trials = [trial for _, trial in history(space, 8)]
    assert [t.state is TrialState.PRUNED for t in trials] == [False, False, False, True] * 2
    assert all(len(trial.values) == 2 and not trial.intermediate_values for trial in trials)
    excess = trials[0].constraints[MEMORY]
    assert excess == pytest.approx(10 * trials[0].values[1] - 1)


def test_the_sampler_leaves_what_is_infeasible() -> None:
    """The objective is best where memory is too large; a fifth of the range is feasible."""
    bound = '[[constraints]]\nmetric = "system/memory_mib"\nmost = 73600\n'  # decay 0.92
    tpe = '[sampler]\nname = "tpe"\nn_startup_trials = 8\n'
    free, bounded = parse(tpe), parse(tpe + bound)
    late = [
        [float(spec.params["semi.ema_decay"]) for spec, _ in history(space, 32)][16:]
        for space in (free, bounded)
    ]
    kept = [sum(decay <= 0.92 for decay in decays) for decays in late]
    assert kept[0] < 3
    assert kept[1] > 2 * 16 / 5


# --- budget, journal, resume


def test_a_plateau_is_a_row_without_a_new_one_on_the_front(space: Space) -> None:
    board = make_board(space=space, target=9)
    flat = []
    for trial in [
        (3.0, 0.5, 1.0),
        (4.0, 0.75, 1.0),  # not the best, but on the front
        (4.0, 0.75, 1.0),  # the same again
        (1.0, 0.9, 9000.0),  # infeasible
        (2.0, 0.5, 1.0),
    ]:
        number = len(board.trials)
        board.add(seal(board, number), {"k"})
        board.take("a")
        board.end("a", Progress(1, (report(1, *trial),), is_done=True))
        flat.append(board.spent().flat_for)
    assert flat == [0, 0, 1, 2, 0]
    assert (board.spent().best, board.spent().best_trial) == (2.0, "t00004")
    assert why_enough(Budget(plateau=1), "minimize", board.spent()) == ""


def test_the_journal_has_directions_values_and_constraints(space: Space, tmp_path: Path) -> None:
    path = tmp_path / "optuna.journal"
    directions = [one.direction for one in space.objectives.all]
    trials = [trial for _, trial in history(space, 4)]
    journal = Journal(path, "s", directions)
    journal.agree([])
    for number, (spec, trial) in enumerate(history(space, 4)):
        journal.start(number, frozen_trial(spec, None, space.objectives))
        journal.finish(number, trial)
    backend = optuna.storages.journal.JournalFileBackend(str(path))
    storage = optuna.storages.JournalStorage(backend)
    study = optuna.load_study(study_name="s", storage=storage)
    assert [direction.name.lower() for direction in study.directions] == directions
    assert [t.values for t in study.trials] == [t.values for t in trials]
    assert [t.constraints for t in study.trials] == [t.constraints for t in trials]
    ids = [trial._trial_id for trial in study.trials]
    assert Journal(path, "s", directions).agree(trials) == 4
    again = optuna.load_study(study_name="s", storage=storage)
    assert [trial._trial_id for trial in again.trials] == ids


def test_a_trial_whose_driver_died_gets_all_its_values(tmp_path: Path) -> None:
    space = parse(OBJECTIVES)
    store = DirectoryStore(tmp_path)
    spec = {"schema": 1, "name": "s"} | space.objectives.as_spec()
    store.put_new(layout.study("s", "study.json"), canonical_json(spec).encode())
    put_epochs(store, put_spec(store, "s", space, 0), last=4, is_final=True)
    (record,) = reconcile(store, "s", space.objectives).trials
    assert record.result is not None
    assert record.result.values == {CD: 5.0, SCORE: 5.0}


# --- what is shown

VALUES = [
    (3.0, 0.5, 1.0),
    (1.0, 0.9, 9000.0),  # would be the best
    (4.0, 0.75, 1.0),
    (5.0, 0.25, 1.0),
    (2.0, 0.25, 1.0),
]


def study_of(space: Space, records: list[TrialRecord]) -> StudyRecord:
    stated = {"name": "x", "budget": {"trials": 5}} | space.objectives.as_spec()
    return StudyRecord(name="x", spec=stated, trials=tuple(records), shared=())


def test_the_board_s_best_is_feasible_and_says_how_large_its_front_is(space: Space) -> None:
    board = make_board(space=space)
    play(board, *VALUES)
    (best,) = take_snapshot(board, 0.0, 0).best
    assert (best.trial, best.value, best.num_front) == ("t00004", 2.0, 3)
    console = Console(width=160)
    with console.capture() as capture:
        console.print(draw(take_snapshot(board, 0.0, 0), "x", CD))
    assert "best: t00004, val/cd_l1 2.000, one of 3 on its front" in capture.get()


def test_a_leaderboard_goes_by_front_then_primary_and_infeasible_ones_have_no_rank(
    space: Space,
) -> None:
    study = study_of(space, play(make_board(space=space), *VALUES))
    rows = [(row.trial, row.rank, row.front, row.is_feasible) for row in leaderboard(study)]
    assert rows == [
        ("t00004", 1, 1, True),
        ("t00000", 2, 1, True),
        ("t00002", 3, 1, True),
        ("t00003", 4, 2, True),
        ("t00001", None, None, False),
    ]
    assert choose_trial(study, {}) == "t00004"


def test_nothing_is_promoted_where_nothing_is_feasible(space: Space) -> None:
    study = study_of(space, play(make_board(space=space), VALUES[1]))
    with pytest.raises(RefusedError, match="no complete, feasible trial"):
        choose_trial(study, {})


@pytest.fixture
def home(space: Space, tmp_path: Path) -> Path:
    """A home whose store has the study of VALUES."""
    store = DirectoryStore(tmp_path / "store")
    study = study_of(space, play(make_board(space=space), *VALUES))
    put = {layout.study("x", "study.json"): canonical_json(study.spec).encode()}
    for record in study.trials:
        assert record.result is not None
        put[layout.trial("x", record.spec.trial, "spec.json")] = record.spec.to_json()
        put[layout.trial("x", record.spec.trial, "result.json")] = record.result.to_json()
    for key, data in put.items():
        store.put_new(key, data)
    return tmp_path


def test_commands_and_the_api_show_fronts_and_what_is_infeasible(home: Path) -> None:
    def say(*words: str) -> str:
        result = CliRunner().invoke(app, [*words, "--home", str(home)])
        assert result.exit_code == 0, result.output
        return result.output

    assert "infeasible" in say("trials", "x")
    assert say("trials", "x", "--csv").splitlines()[1].startswith("t00004,complete,")
    status = json.loads(say("status", "x", "--json"))
    assert status["best"] == {"trial": "t00004", "value": 2.0, "stratum": {}, "front_size": 3}
    assert "best: x/t00004 2.000, one of 3 on its front" in say("status", "x")
    assert "2.000" in say("studies")
    table = ss3d.load_study("x", home=home).trials().set_index("trial")
    assert list(table.loc["t00002", [CD, SCORE, MEMORY]]) == [4.0, 0.75, 1.0]
    assert list(table["feasible"]) == [True, False, True, True, True]
    assert list(table["front"].fillna(0)) == [1, 0, 1, 2, 1]
    picture = home / "front.png"
    assert str(picture) in say("trials", "x", "-o", str(picture))
    assert picture.read_bytes().startswith(b"\x89PNG")
    say("cost", "x")
    say("compare", "x", "x")
