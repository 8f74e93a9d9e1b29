"""Where values lie on the axes of parameters: numbers that can be computed by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss3d.report.leaderboard import Row
from ss3d.report.parameter_axes import ParameterAxis, parameter_axes


def row(**params: object) -> Row:
    return Row(
        rank=1, trial="t00000", state="complete", stratum={"data.labeled_ratio": 0.1},
        params={path.replace("__", "."): value for path, value in params.items()}, value=1.0,
        gain=None, epochs=1, seconds=1.0, reason="",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("scale", "ends", "value", "place"),
    [
        ("linear", (0.0, 4.0), 1.0, 0.25),
        ("log", (1e-4, 1e-2), 1e-3, 0.5),
        ("log1m", (0.9, 0.999), 0.99, 0.5),
        ("linear", (2.0, 2.0), 2.0, 0.5),
    ],
)
def test_values_lie_where_their_scale_puts_them(scale, ends, value, place):
    assert ParameterAxis("semi.lr", scale, ends).place(value) == pytest.approx(place)


def test_choices_are_spread_evenly_and_true_is_not_one():
    axis = ParameterAxis("model.kind", "choices", (0, 0), (1, True, "x"))
    assert [axis.place(one) for one in (1, True, "x")] == [0.0, 0.5, 1.0]
    assert axis.ticks() == [(0.0, "1"), (0.5, "True"), (1.0, "x")]


def test_an_inactive_parameter_has_no_place():
    assert math.isnan(ParameterAxis("semi.lr", "linear", (0.0, 1.0)).place(None))


@given(st.sampled_from(["linear", "log", "log1m"]), st.floats(0.01, 0.45), st.floats(0.5, 0.99))
def test_ticks_are_labeled_with_the_value_at_their_place(scale, low, high):
    axis = ParameterAxis("semi.lr", scale, (low, high))
    for place, label in axis.ticks():
        assert axis.place(float(label)) == pytest.approx(place, abs=0.05)
    assert axis.place(low) == pytest.approx(0)
    assert axis.place(high) == pytest.approx(1)


def test_an_axis_spans_what_is_declared_and_what_was_tried():
    declared = {"semi.lr": {"type": "float", "low": 0.01, "high": 0.1, "scale": "log"}}
    rows = [row(semi__lr=0.05, semi__fixed=1), row(semi__lr=0.5, semi__fixed=1)]
    (axis,) = parameter_axes(declared, rows)
    assert (axis.path, axis.scale, axis.ends) == ("semi.lr", "log", (0.01, 0.5))


def test_what_is_no_number_becomes_choices_in_the_order_declared():
    declared = {"model.num_heads": {"type": "categorical", "choices": [8, 4, 2]}}
    rows = [row(model__num_heads=4, semi__mode="b"), row(model__num_heads=8, semi__mode="a")]
    heads, mode = parameter_axes(declared, rows)
    assert heads.choices == (8, 4, 2)
    assert mode.choices == ("b", "a")


def test_a_stratum_is_no_axis():
    rows = [row(data__labeled_ratio=0.1), row(data__labeled_ratio=0.2)]
    assert parameter_axes({}, rows) == []
