from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from ss3d.study.cohort import Cohort, Curve

numbers = st.sampled_from([1.0, 2.0, 2.5, math.nan, math.inf])
curves = st.dictionaries(st.integers(1, 3), numbers).map(Curve)


@given(st.lists(st.tuples(st.sampled_from("abcd"), curves)))
def test_values_stay_in_order_whatever_is_seen_again(seen: list[tuple[str, Curve]]) -> None:
    cohort = Cohort()
    for trial, curve in seen:
        cohort.see(trial, curve)
    assert dict(cohort) == dict(seen)
    for epoch in range(1, 4):
        values = [c.values[epoch] for c in dict(seen).values() if epoch in c.values]
        placed = sorted(math.inf if math.isnan(value) else value for value in values)
        assert list(cohort.ordered(epoch)) == placed
