"""NSGA-II's order, against its definition and against Optuna's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.samplers.nsgaii._elite_population_selection_strategy import _calc_crowding_distance
from optuna.study._multi_objective import _fast_non_domination_rank
from optuna.trial import create_trial

from ss3d.trial.dominance import Outcome, dominates, first_front, fronts, places

coarse = st.integers(0, 4).map(float)  # ties
smooth = st.floats(-100, 100, allow_nan=False)


@st.composite
def outcomes(draw: st.DrawFn) -> dict[str, Outcome]:
    width = draw(st.integers(1, 4))
    losses = st.tuples(*[st.one_of(coarse, smooth)] * width)
    violation = st.sampled_from([0.0, 0.0, 0.5, 2.0, math.inf])
    found = draw(st.lists(st.builds(Outcome, losses, violation), max_size=12))
    return {f"t{number}": outcome for number, outcome in enumerate(found)}


def fronts_by_definition(known: dict[str, Outcome]) -> dict[str, int]:
    """Peel off what nothing dominates, again and again; then what violates, the least first."""
    left = {name: o.losses for name, o in known.items() if o.violation <= 0}
    found: dict[str, int] = {}
    front = 0
    while left:
        front += 1
        best = [n for n in left if not any(dominates(other, left[n]) for other in left.values())]
        found |= dict.fromkeys(best, front)
        left = {name: losses for name, losses in left.items() if name not in best}
    for violation in sorted({o.violation for o in known.values() if o.violation > 0}):
        front += 1
        found |= {name: front for name, o in known.items() if o.violation == violation}
    return found


@given(known=outcomes())
def test_fronts_are_those_of_the_definition(known: dict[str, Outcome]) -> None:
    assert fronts(known) == fronts_by_definition(known)
    assert first_front(known) == {
        name for name, front in fronts(known).items() if front == 1 and known[name].violation <= 0
    }


@given(known=outcomes().filter(len))
def test_fronts_are_optuna_s(known: dict[str, Outcome]) -> None:
    losses = np.array([outcome.losses for outcome in known.values()])
    penalty = np.array([outcome.violation for outcome in known.values()])
    theirs = _fast_non_domination_rank(losses, penalty=penalty) + 1
    assert list(fronts(known).values()) == theirs.tolist()


@st.composite
def without_ties(draw: st.DrawFn) -> dict[str, Outcome]:
    levels = [float(level) for level in range(draw(st.integers(1, 9)))]
    columns = [draw(st.permutations(levels)) for _ in range(3)]
    return {str(n): Outcome(losses) for n, losses in enumerate(zip(*columns, strict=True))}


@given(known=without_ties())
def test_within_a_front_the_least_crowded_comes_first_as_in_optuna(
    known: dict[str, Outcome],
) -> None:
    """Without ties: between equal values Optuna goes by the order of arrival."""
    found, order = fronts(known), places(known, fronts(known))
    for front in set(found.values()):
        names = [name for name in known if found[name] == front]
        trials = [create_trial(values=list(known[name].losses)) for name in names]
        for number, trial in enumerate(trials):
            trial.number = number
        gaps = _calc_crowding_distance(trials)
        theirs = sorted(range(len(names)), key=lambda n: (-gaps[n], known[names[n]].losses))
        assert sorted(names, key=lambda name: order[name]) == [names[n] for n in theirs]


@given(known=outcomes(), data=st.data())
def test_places_depend_on_the_outcomes_and_not_on_their_order(
    known: dict[str, Outcome], data: st.DataObject
) -> None:
    shuffled = dict(data.draw(st.permutations(list(known.items()))))
    assert repr(places(known, fronts(known))) == repr(
        {name: places(shuffled, fronts(shuffled))[name] for name in known}
    )


@given(known=outcomes())
def test_a_better_front_is_a_better_place_and_equals_share_one(known: dict[str, Outcome]) -> None:
    found, order = fronts(known), places(known, fronts(known))
    for one in known:
        if math.isinf(known[one].violation):
            assert math.isnan(order[one])
            continue
        assert 1 <= order[one] <= len(known)
        for other in known:
            if known[one] == known[other]:
                assert order[one] == order[other]
            if found[one] < found[other] and not math.isnan(order[other]):
                assert order[one] < order[other]


def test_a_front_of_four_by_hand() -> None:
    known = {
        "end": Outcome((0.0, 9.0)),
        "crowded": Outcome((1.0, 5.0)),
        "lonely": Outcome((2.0, 4.0)),
        "other end": Outcome((8.0, 0.0)),
        "behind": Outcome((8.0, 9.0)),
        "too big": Outcome((0.0, 0.0), 0.25),
    }
    assert fronts(known) == dict(zip(known, (1, 1, 1, 1, 2, 3), strict=True))
    assert places(known, fronts(known)) == dict(zip(known, (1, 4, 3, 2, 5, 6), strict=True))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [((1, 2), (1, 3), True), ((1, 2), (1, 2), False), ((1, 3), (2, 2), False)],
)
def test_dominance(one: tuple[float, ...], other: tuple[float, ...], expected: bool) -> None:
    assert dominates(one, other) is expected
