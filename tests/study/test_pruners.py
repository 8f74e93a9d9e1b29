"""All rules on replayed curves, beside Optuna's own pruners."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    PatientPruner,
    SuccessiveHalvingPruner,
)

from ss3d.store.layout import trial_id
from ss3d.study.brackets import Hyperband, num_brackets
from ss3d.study.cohort import Cohort, Curve
from ss3d.study.paired import PairedTest
from ss3d.study.rungs import (
    Decision,
    MedianRule,
    Patience,
    Rule,
    SuccessiveHalving,
    explain,
)

pytestmark = pytest.mark.filterwarnings("ignore:PatientPruner is experimental")

EPOCHS = 6
RULES = [
    SuccessiveHalving(first_rung=2, factor=2),
    Hyperband(first_rung=2, factor=2, epochs=EPOCHS, seed=7),
    MedianRule(first_rung=2, min_trials=1),
    Patience(first_rung=2, epochs=1, min_delta=0.0),
    PairedTest(first_rung=2, factor=2, epochs=EPOCHS, min_trials=2, alpha=0.05),
]

smooth = st.floats(0, 100, allow_nan=False)
coarse = st.integers(0, 3).map(float)  # ties
broken = st.one_of(coarse, st.just(math.nan))


@dataclass(frozen=True)
class Replay:
    """The curves of some trials, and in which order their epochs arrive."""

    values: list[list[float]]
    turns: list[int]

    def arrivals(self) -> Iterator[tuple[int, int, float]]:
        """Yield trial, epoch and value."""
        epochs = [0] * len(self.values)
        for trial in self.turns:
            if epochs[trial] < EPOCHS:
                epochs[trial] += 1
                yield trial, epochs[trial], self.values[trial][epochs[trial] - 1]


@st.composite
def replays(draw: st.DrawFn, values: st.SearchStrategy[float]) -> Replay:
    count = draw(st.integers(2, 7))
    curve = st.lists(values, min_size=EPOCHS, max_size=EPOCHS)
    curves = draw(st.lists(curve, min_size=count, max_size=count))
    turns = draw(st.permutations([trial for trial in range(count) for _ in range(EPOCHS)]))
    return Replay(curves, turns)


def on_models(value: float) -> tuple[float, ...]:
    """Return values of single models of this mean: a trial is as much worse on each."""
    return tuple(value + offset for offset in (-1.0, 0.0, 1.0))


def make_curve(values: dict[int, float], is_complete: bool = False) -> Curve:
    return Curve(values, is_complete, {epoch: on_models(v) for epoch, v in values.items()})


def decisions(rule: Rule, replay: Replay) -> dict[tuple[int, int], Decision | None]:
    """Return what is decided, by trial and epoch, as a study goes on with it."""
    known: dict[str, dict[int, float]] = {}
    cohorts: defaultdict[int, Cohort] = defaultdict(Cohort)
    stopped: set[int] = set()
    found: dict[tuple[int, int], Decision | None] = {}
    for number, epoch, value in replay.arrivals():
        if number not in stopped:
            trial = trial_id(number)
            own = known.setdefault(trial, {})
            own[epoch] = value
            cohort = cohorts[rule.bracket(trial)]
            cohort.see(trial, make_curve(dict(own)))
            decision = found[number, epoch] = rule.decide(cohort, trial, epoch)
            if decision and decision.stop:
                stopped.add(number)
            elif epoch == EPOCHS:
                cohort.see(trial, make_curve(dict(own), is_complete=True))
    return found


def optuna_stops(
    pruner: BasePruner, replay: Replay, direction: str = "minimize"
) -> dict[tuple[int, int], bool]:
    """Return what Optuna's pruner says of the same arrivals."""
    study = optuna.create_study(
        study_name="7",
        pruner=pruner,
        direction=direction,
        sampler=optuna.samplers.RandomSampler(seed=0),
    )
    trials = [study.ask() for _ in replay.values]
    found: dict[tuple[int, int], bool] = {}
    stopped: set[int] = set()
    for number, epoch, value in replay.arrivals():
        if number not in stopped:
            trial = trials[number]
            trial.report(value, epoch)
            found[number, epoch] = trial.should_prune()
            if found[number, epoch]:
                stopped.add(number)
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            elif epoch == EPOCHS:
                study.tell(trial, 0.0 if math.isnan(value) else value)
    return found


def stops(found: dict[tuple[int, int], Decision | None]) -> dict[tuple[int, int], bool]:
    return {where: bool(decision and decision.stop) for where, decision in found.items()}


@pytest.mark.parametrize("factor", [2, 3])
@settings(deadline=None, max_examples=15)
@given(replay=replays(st.one_of(smooth, coarse)))
def test_halving_is_optuna_s(factor: int, replay: Replay) -> None:
    ours = stops(decisions(SuccessiveHalving(2, factor), replay))
    assert ours == optuna_stops(SuccessiveHalvingPruner(2, factor), replay)


@pytest.mark.parametrize("factor", [2, 3])
@settings(deadline=None, max_examples=15)
@given(replay=replays(st.one_of(smooth, coarse)))
def test_hyperband_is_optuna_s_in_a_study_named_as_the_seed(factor: int, replay: Replay) -> None:
    ours = stops(decisions(Hyperband(2, factor, EPOCHS, seed=7), replay))
    assert ours == optuna_stops(HyperbandPruner(2, EPOCHS, factor), replay)


@pytest.mark.parametrize("min_trials", [1, 3])
@settings(deadline=None, max_examples=15)
@given(replay=replays(st.one_of(smooth, coarse)))
def test_the_median_is_optuna_s(min_trials: int, replay: Replay) -> None:
    """Without values that are no numbers: Optuna counts such trials for the least number."""
    ours = stops(decisions(MedianRule(first_rung=2, min_trials=min_trials), replay))
    pruner = MedianPruner(n_startup_trials=min_trials, n_warmup_steps=2)
    assert ours == optuna_stops(pruner, replay)


@pytest.mark.parametrize("epochs", [1, 2, 3])
@settings(deadline=None, max_examples=15)
@given(replay=replays(smooth), data=st.data())
def test_patience_without_delta_is_optuna_s_but_for_ties(
    epochs: int, replay: Replay, data: st.DataObject
) -> None:
    """Optuna's window holds one epoch more, and a tie goes on: here it is no improvement."""
    levels = [float(n) for n in range(EPOCHS * len(replay.values))]
    distinct = data.draw(st.permutations(levels))
    curves = [distinct[n * EPOCHS :][:EPOCHS] for n in range(len(replay.values))]
    without_ties = Replay(curves, replay.turns)
    ours = stops(decisions(Patience(1, epochs, 0.0), without_ties))
    theirs = optuna_stops(PatientPruner(None, patience=epochs - 1), without_ties)
    assert ours == theirs


@pytest.mark.parametrize(("min_delta", "ours", "theirs"), [(0.5, True, False), (0.2, False, False)])
def test_a_delta_is_what_must_be_gained_and_not_what_may_be_lost(
    min_delta: float, ours: bool, theirs: bool
) -> None:
    """In Optuna a delta makes the rule forgiving: it is how much worse the last epochs may be."""
    replay = Replay([[5.0, 4.75]], [0, 0])
    assert stops(decisions(Patience(1, 1, min_delta), replay))[0, 2] is ours
    assert optuna_stops(PatientPruner(None, 0, min_delta), replay)[0, 2] is theirs


def test_a_tie_is_no_improvement() -> None:
    replay = Replay([[5.0, 5.0]], [0, 0])
    assert stops(decisions(Patience(1, 1, 0.0), replay))[0, 2]
    assert not optuna_stops(PatientPruner(None, 0), replay)[0, 2]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
@settings(deadline=None, max_examples=15)
@given(replay=replays(broken))
def test_nothing_is_decided_before_the_first_rung(rule: Rule, replay: Replay) -> None:
    found = decisions(rule, replay)
    assert all(decision is None for (_, epoch), decision in found.items() if epoch < 2)
    assert all(decision.rung == epoch for (_, epoch), decision in found.items() if decision)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
@settings(deadline=None, max_examples=15)
@given(replay=replays(broken), data=st.data())
def test_a_decision_depends_on_the_curves_and_not_on_their_order(
    rule: Rule, replay: Replay, data: st.DataObject
) -> None:
    curves = {
        trial_id(number): make_curve(dict(enumerate(values, start=1)), number % 2 == 0)
        for number, values in enumerate(replay.values)
    }
    shuffled = dict(data.draw(st.permutations(list(curves.items()))))
    backwards = {
        trial: make_curve(dict(reversed(curve.values.items())), curve.is_complete)
        for trial, curve in shuffled.items()
    }
    for trial in curves:
        for epoch in range(1, EPOCHS + 1):
            # NaN is not equal to itself, but its text is
            ours = repr(rule.decide(Cohort(curves), trial, epoch))
            assert ours == repr(rule.decide(Cohort(backwards), trial, epoch))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
@settings(deadline=None, max_examples=15)
@given(replay=replays(broken))
def test_the_best_never_stops_and_what_is_no_number_never_goes_on(
    rule: Rule, replay: Replay
) -> None:
    for decision in decisions(rule, replay).values():
        if decision and math.isnan(decision.value):
            assert decision.stop
        elif decision and decision.num_peers > 1:
            assert 1 <= decision.rank <= decision.num_peers
            assert not (decision.stop and decision.rank == 1)


def test_halving_counts_what_is_no_number_as_a_trial_that_reached_the_rung() -> None:
    """Optuna forgets it: then two of three would be too few for a second to go on."""
    replay = Replay([[math.nan], [3.0], [1.0], [2.0]], [0, 1, 2, 3])
    ours = stops(decisions(SuccessiveHalving(1, 2), replay))
    theirs = optuna_stops(SuccessiveHalvingPruner(1, 2), replay)
    assert (ours[0, 1], ours[3, 1]) == (True, False)
    assert (theirs[0, 1], theirs[3, 1]) == (True, True)


@pytest.mark.parametrize("seed", [0, 7])
def test_a_bracket_is_a_function_of_seed_and_number_and_early_ones_are_larger(seed: int) -> None:
    rule = Hyperband(first_rung=1, factor=3, epochs=9, seed=seed)
    brackets = [rule.bracket(trial_id(number)) for number in range(900)]
    assert [brackets.count(bracket) for bracket in range(3)] == pytest.approx(
        [900 * share / 17 for share in (9, 5, 3)], rel=0.2
    )
    assert brackets != [
        Hyperband(1, 3, 9, seed + 1).bracket(trial_id(number)) for number in range(900)
    ]


def test_every_bracket_has_its_own_rungs() -> None:
    rule = Hyperband(first_rung=1, factor=2, epochs=4, seed=0)
    cohort = Cohort({trial_id(n): Curve(dict.fromkeys(range(1, 5), float(n))) for n in range(30)})
    for trial in cohort:
        bracket = rule.bracket(trial)
        rungs = [epoch for epoch in range(1, 5) if rule.decide(cohort, trial, epoch)]
        assert rungs == [epoch for epoch in (1, 2, 4) if epoch >= 2**bracket]
        last = rule.decide(cohort, trial, 4)
        assert last is not None
        assert last.rule == f"hyperband/2 bracket {bracket}"


@pytest.mark.parametrize(
    ("first", "factor", "epochs", "expected"), [(1, 3, 27, 4), (5, 3, 20, 2), (2, 3, 5, 1)]
)
def test_brackets_begin_within_the_phase(
    first: int, factor: int, epochs: int, expected: int
) -> None:
    assert num_brackets(first, factor, epochs) == expected


def say(rule: Rule, values: Sequence[float]) -> str:
    curves = {"t00000": Curve(dict(enumerate(values, start=1)))}
    decision = rule.decide(Cohort(curves), "t00000", len(values))
    assert decision is not None
    assert decision.stop
    return explain(decision)


def test_patience_is_explained_without_ranks() -> None:
    assert say(Patience(1, 2, 0.5), [5.0, 4.75, 4.625]) == (
        "stopped by patience/2 at epoch 3: 4.625 at best in the last 2 epochs, "
        "had to be better than 4.5"
    )
