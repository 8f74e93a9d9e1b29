"""The paired test, beside scipy's and on differences that are known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ss3d.config import canonical_json
from ss3d.study.cohort import Cohort, Curve
from ss3d.study.paired import PairedTest, paired_difference
from ss3d.study.pruners import compared_epochs, make_rule
from ss3d.study.rungs import Decision, explain
from ss3d.study.space import parse_space
from ss3d.study.toml_lines import TomlFile
from ss3d.trial.history import read_object

RULE = PairedTest(first_rung=2, factor=2, epochs=20, min_trials=2, alpha=0.05)
CONFIDENCE = 1 - 0.05 / 4  # four rungs: 2, 4, 8, 16

distances = st.integers(0, 2**20).map(lambda n: n / 1024)


def at_rung(*trials: Sequence[float], epoch: int = 2) -> dict[str, Curve]:
    """Trials by the values of their models."""
    return {
        f"t{n}": Curve({epoch: math.fsum(own) / len(own)}, per_model={epoch: own})
        for n, own in enumerate(trials)
    }


@settings(deadline=None, max_examples=50)
@given(pairs=st.lists(st.tuples(distances, distances), min_size=3, max_size=60))
def test_it_is_student_s_paired_test(pairs: list[tuple[float, float]]) -> None:
    own, others = zip(*pairs, strict=True)
    if len({a - b for a, b in pairs}) == 1:
        return  # without variance scipy warns; below
    found = paired_difference("t0", own, others, CONFIDENCE)
    theirs = stats.ttest_rel(own, others, alternative="greater")
    assert found.p_value == pytest.approx(theirs.pvalue, abs=1e-12)
    assert found.low == pytest.approx(theirs.confidence_interval(CONFIDENCE).low, abs=1e-6)
    assert (found.low > 0) == (found.p_value < 1 - CONFIDENCE)


def test_a_difference_that_is_known() -> None:
    """Of 1, 2, 3 the mean is 2 and its error 1 / sqrt(3): t = 2 sqrt(3) of two degrees."""
    found = paired_difference("t0", [2.0, 3.0, 4.0], [1.0, 1.0, 1.0], 0.95)
    t = 2 * math.sqrt(3)
    assert (found.mean, found.num_models) == (2.0, 3)
    assert found.p_value == pytest.approx(0.5 * (1 - t / math.sqrt(2 + t * t)))
    assert found.low == pytest.approx(2 - 2.91998558 / math.sqrt(3))


@pytest.mark.parametrize(("shift", "p_value"), [(1.0, 0.0), (0.0, 1.0), (-1.0, 1.0)])
def test_the_same_difference_on_every_model_leaves_no_doubt(shift: float, p_value: float) -> None:
    found = paired_difference("t0", [3.0 + shift, 5.0 + shift], [3.0, 5.0], 0.95)
    assert (found.mean, found.low, found.p_value) == (shift, shift, p_value)


def test_a_difference_far_smaller_than_that_between_models_is_seen() -> None:
    rng = np.random.default_rng(0)
    models = rng.normal(10, 3, 60)
    best = models.tolist()
    worse = (models + 0.1 + rng.normal(0, 0.1, 60)).tolist()
    alike = (models + 0.01 + rng.normal(0, 0.1, 60)).tolist()
    assert stats.ttest_ind(worse, best, alternative="greater").pvalue > 0.4
    curves = at_rung(best, worse, alike)
    stopped, going, first = (RULE.decide(Cohort(curves), trial, 2) for trial in ("t1", "t2", "t0"))
    assert stopped is not None
    assert stopped.difference is not None
    assert (stopped.stop, stopped.rank, stopped.difference.best) == (True, 3, "t0")
    assert stopped.cutoff == pytest.approx(stopped.value - stopped.difference.low)
    assert going is not None
    assert going.difference is not None
    assert (going.stop, going.difference.confidence) == (False, CONFIDENCE)
    assert going.difference.low < 0
    assert going.value < going.cutoff
    assert first is not None
    assert (first.stop, first.rank, first.difference) == (False, 1, None)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(distances, min_size=3, max_size=3), min_size=2, max_size=6))
def test_a_trial_is_stopped_where_even_the_lower_end_is_worse(trials: list[list[float]]) -> None:
    curves = at_rung(*trials)
    least = min(curve.values[2] for curve in curves.values())
    for trial, curve in curves.items():
        decision = RULE.decide(Cohort(curves), trial, 2)
        assert decision is not None
        assert decision.num_peers == len(curves)
        assert not (decision.stop and curve.values[2] == least)
        if decision.difference:
            assert curves[decision.difference.best].values[2] == least
            assert decision.stop == (decision.difference.low > 0 and curve.values[2] > least)


def test_rungs_are_before_the_last_epoch_and_share_alpha() -> None:
    assert RULE.rungs() == (2, 4, 8, 16)
    assert replace(RULE, epochs=16).rungs() == (2, 4, 8)
    for epoch in range(1, 21):
        decision = RULE.decide(Cohort(at_rung([1.0, 2.0], [2.0, 3.5], epoch=epoch)), "t1", epoch)
        assert (decision is not None) == (epoch in RULE.rungs())


def test_over_all_rungs_an_equal_trial_is_stopped_as_rarely_as_asked() -> None:
    """Fresh differences at every rung, which is the worst case: in a study they are alike."""
    rng, rungs, count = np.random.default_rng(1), RULE.rungs(), 2000
    draws = rng.exponential(1.0, (count, len(rungs), 2, 40))  # skewed, as distances are
    stopped = sum(
        any(paired_difference("t0", *looks, CONFIDENCE).low > 0 for looks in trial.tolist())
        for trial in draws
    )
    error = math.sqrt(0.05 * 0.95 / count)
    assert 0.02 < stopped / count < 0.05 + 3 * error


def test_with_too_few_trials_or_without_pairs_nothing_is_decided() -> None:
    rule = replace(RULE, min_trials=3)
    curves = at_rung([1.0, 2.0], [2.0, 3.0])
    assert rule.decide(Cohort(curves), "t1", 2) is None
    three = at_rung([1.0, 2.0], [2.0, 3.0], [4.0, 5.0])
    assert rule.decide(Cohort(three), "t1", 2) is not None
    bare = three | {"t0": Curve({2: 1.5})}
    assert rule.decide(Cohort(bare), "t1", 2) is None
    assert RULE.decide(Cohort(at_rung([1.0], [2.0])), "t1", 2) is None


def test_what_is_no_number_is_stopped_without_a_difference() -> None:
    curves = at_rung([1.0, 2.0], [math.nan, 3.0])
    decision = RULE.decide(Cohort(curves), "t1", 2)
    assert decision is not None
    assert (decision.stop, decision.rank, decision.difference) == (True, 2, None)
    assert decision.cutoff == 1.5


def test_a_stop_is_explained_by_the_difference() -> None:
    curves = at_rung([1.0, 1.0, 1.0], [2.0, 3.0, 4.0])
    decision = replace(RULE, alpha=0.4).decide(Cohort(curves), "t1", 2)
    assert decision is not None
    assert decision.stop
    assert explain(decision) == (
        "stopped by paired at epoch 2: 3, 2 worse than t0 on 3 models (with 90 % confidence worse "
        "by 0.911 at least, p = 0.037)"
    )


@pytest.mark.parametrize("trial", ["t0", "t1"])
def test_a_decision_is_stored_and_read_again_to_the_bit(trial: str) -> None:
    decision = RULE.decide(Cohort(at_rung([0.1, 0.2, 0.4], [0.7, 0.3, 1.1])), trial, 2)
    assert decision is not None
    stored = canonical_json(asdict(decision)).encode()
    assert Decision.from_tree(read_object(stored, "decision")) == decision


SPACE = """
[base]
preset = "tiny"
semi.epochs = 8
[pruner]
name = "paired"
[parameters."semi.ema_decay"]
type = "float"
low = 0.5
high = 0.9
"""
EPOCHS = '[parameters."semi.epochs"]\ntype = "int"\nlow = 4\nhigh = 40\n'


@pytest.mark.parametrize(
    ("text", "rungs"),
    [
        (SPACE, (2, 4)),
        (SPACE.replace('"paired"', '"paired"\nfirst_rung = 1\nfactor = 3'), (1, 3)),
        (SPACE.replace("semi.epochs = 8\n", "") + EPOCHS, (10, 20)),
        (SPACE.replace("paired", "asha"), ()),
    ],
)
def test_workers_keep_the_values_of_single_models_where_a_rung_needs_them(
    text: str, rungs: tuple[int, ...]
) -> None:
    space = parse_space(TomlFile(text, "x.toml"), "x")
    assert compared_epochs(space) == rungs
    rule = make_rule(space)
    if isinstance(rule, PairedTest):
        assert (rule.min_trials, rule.alpha) == (5, 0.05)
