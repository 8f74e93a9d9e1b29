"""What a budget still allows, in plain numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss3d.study.budget import Need, Spent, what_is_left, why_not
from ss3d.study.tables import Budget

NOTHING = Spent(hours=0.0, device_hours=0.0, best=None, best_trial="", flat_for=0)
SMALL = Need(0.1, 0.2)


def test_without_limits_everything_may_start() -> None:
    spent = Spent(hours=1e6, device_hours=1e6, best=0.0, best_trial="t00000", flat_for=10**6)
    assert why_not(Budget(trials=1), "minimize", spent, Need(1e6, 1e6)) == ""
    assert what_is_left(Budget(trials=1), spent) == ""


@pytest.mark.parametrize(
    ("used", "needed", "message"),
    [
        (1.75, 0.25, ""),
        (1.75, 0.375, "0.25 of 2 hours left, a trial needs 0.38"),
        (1.75, 0.0, ""),
        (2.0, 0.0, "0 of 2 hours left"),
        (2.5, 0.5, "0 of 2 hours left, a trial needs 0.5"),
    ],
)
def test_only_what_can_finish_in_time_may_start(used: float, needed: float, message: str) -> None:
    spent = replace(NOTHING, hours=used)
    assert why_not(Budget(hours=2), "minimize", spent, Need(needed, 0.0)) == message


def test_hours_of_devices_are_counted_by_themselves() -> None:
    budget = Budget(hours=10, device_hours=40)
    spent = replace(NOTHING, hours=5.0, device_hours=39.0)
    assert why_not(budget, "minimize", spent, Need(1.0, 1.0)) == ""
    assert why_not(budget, "minimize", spent, Need(0.75, 1.5)) == (
        "1 of 40 device hours left, a trial needs 1.5"
    )
    assert what_is_left(budget, spent) == "5 of 10 hours left, 1 of 40 device hours left"


@pytest.mark.parametrize(
    ("direction", "best", "is_reached"),
    [
        ("minimize", 3.0, True),
        ("minimize", 3.01, False),
        ("maximize", 3.0, True),
        ("maximize", 2.99, False),
        ("minimize", None, False),
    ],
)
def test_a_target_is_reached_by_the_best(
    direction: str, best: float | None, is_reached: bool
) -> None:
    spent = replace(NOTHING, best=best, best_trial="t00012")
    refusal = why_not(Budget(target=3), direction, spent, SMALL)
    assert refusal == ("target 3 reached by t00012" if is_reached else "")


@pytest.mark.parametrize(("flat_for", "is_flat"), [(4, False), (5, True), (6, True)])
def test_a_plateau_is_so_many_trials_without_a_better_best(flat_for: int, is_flat: bool) -> None:
    refusal = why_not(Budget(plateau=5), "minimize", replace(NOTHING, flat_for=flat_for), SMALL)
    assert refusal == (f"no better best in the last {flat_for} trials" if is_flat else "")


@given(
    limit=st.floats(0.1, 100),
    used=st.floats(0, 100),
    needed=st.floats(0, 100),
    more=st.floats(0, 100),
)
def test_what_is_refused_stays_refused_when_more_is_used_or_needed(
    limit: float, used: float, needed: float, more: float
) -> None:
    budget = Budget(hours=limit, device_hours=limit)

    def is_refused(hours: float, need: float) -> bool:
        spent = replace(NOTHING, hours=hours, device_hours=hours)
        return bool(why_not(budget, "minimize", spent, Need(need, need)))

    assert is_refused(used, needed) == (used >= limit or used + needed > limit)
    if is_refused(used, needed):
        assert is_refused(used + more, needed)
        assert is_refused(used, needed + more)
