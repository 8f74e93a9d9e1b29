"""Who lags behind whom, by seconds that are known."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss3d.study.stragglers import Lag, Stragglers

WARM_UP = 1000.0
"""Seconds of the first epoch of a run, which count for nothing."""
Seconds = st.floats(0.1, 1e4)


def run(found: Stragglers, node: str, seconds: Sequence[float], effort: str = "e") -> Lag | None:
    """Run a job on a node; return its lag at the last epoch."""
    name = f"{node} {effort}"
    if not found.knows(name):
        found.begin(name, node, effort)
        found.see(name, [], ())
        assert found.see(name, [WARM_UP], ()) is None
    return [found.see(name, [epoch_s], ()) for epoch_s in seconds][-1]


def cohort(*others: float) -> Stragglers:
    """Stragglers who know of other nodes, each with an epoch of its own."""
    found = Stragglers()
    for number, epoch_s in enumerate(others):
        run(found, f"other-{number}", [epoch_s] * 3)
    return found


@pytest.mark.parametrize(
    ("seconds", "is_straggler"),
    [
        ([2.6, 2.6, 2.6], True),
        ([2.5, 9.0, 9.0], False),  # one of them is not longer than two and a half cohort epochs
        ([9.0, 9.0], False),
        ([1.0, 1.0, 9.0, 9.0, 9.0], True),
        ([9.0, 9.0, 9.0, 1.0], False),
    ],
)
def test_a_straggler_took_too_long_three_times_in_a_row(
    seconds: list[float], is_straggler: bool
) -> None:
    assert (run(cohort(0.5, 1.0, 8.0), "own", seconds) is not None) == is_straggler


def test_it_lags_by_the_median_of_its_epochs_behind_that_of_the_nodes() -> None:
    lag = run(cohort(0.5, 1.0, 1.5, 8.0), "own", [4.0, 5.0, 9.0])
    assert lag == Lag(5.0, 1.25)
    assert lag.factor == 4.0


def test_nobody_lags_behind_epochs_of_his_own_node_of_other_effort_or_of_nodes_that_rest() -> None:
    assert run(cohort(), "own", [1.0, 1.0, 1.0, 9.0, 9.0, 9.0]) is None
    assert run(cohort(1.0), "own", [9.0] * 9, effort="larger") is None
    found = cohort(1.0)
    assert run(found, "own", [9.0] * 3) == Lag(9.0, 1.0)
    assert found.see("own e", [9.0], {"other-0"}) is None


def test_two_epochs_of_another_node_are_no_cohort() -> None:
    found = Stragglers()
    run(found, "other", [1.0, 1.0])
    assert run(found, "own", [9.0] * 9) is None


def test_a_job_that_begins_again_has_to_warm_up_again() -> None:
    found = cohort(1.0)
    run(found, "own", [9.0, 9.0])
    found.forget("own e")
    assert run(found, "own", [9.0, 9.0]) is None
    assert run(found, "own", [9.0]) == Lag(9.0, 1.0)


def test_what_is_forgotten_is_compared_with_no_more() -> None:
    found = cohort(1.0)
    found.forget_cohorts()
    assert run(found, "own", [9.0] * 9) is None


@given(st.lists(st.floats(1.0, 2.5), min_size=12, max_size=60))
def test_nodes_that_differ_little_have_no_straggler(seconds: list[float]) -> None:
    found = Stragglers()
    for number, epoch_s in enumerate(seconds):
        assert run(found, f"node-{number % 3}", [epoch_s]) is None


@given(st.integers(2, 6), st.floats(3.0, 100.0), st.lists(st.floats(0, 1), min_size=6, max_size=6))
def test_when_all_nodes_become_slow_none_straggles(
    num_nodes: int, factor: float, offsets: list[float]
) -> None:
    slow_from = 20.0
    ends: list[tuple[float, int, float]] = []
    for node in range(num_nodes):
        now = offsets[node]
        while now < slow_from + 8 * factor:
            fast_s = min(1.0, max(0.0, slow_from - now))
            epoch_s = fast_s + (1.0 - fast_s) * factor
            now += epoch_s
            ends.append((now, node, epoch_s))
    found = Stragglers()
    for _, node, epoch_s in sorted(ends):
        assert run(found, f"node-{node}", [epoch_s]) is None


@given(Seconds, st.floats(2.6, 50.0), st.integers(1, 5))
def test_the_unit_of_time_does_not_matter(epoch_s: float, factor: float, others: int) -> None:
    lag = run(cohort(*[epoch_s] * others), "own", [factor * epoch_s] * 3)
    assert lag is not None
    assert lag.factor == pytest.approx(factor)
