from __future__ import annotations

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ss3d.study.cohort import Cohort, Curve
from ss3d.study.rungs import MedianRule, NeverStop, SuccessiveHalving, first_rung

values = st.floats(0, 100, allow_nan=False)


def at(epoch: int, *items: float, complete: bool = False) -> dict[str, Curve]:
    return {f"t{n}": Curve({epoch: value}, complete) for n, value in enumerate(items)}


def test_the_first_rung_is_a_quarter_of_the_phase() -> None:
    assert [first_rung(epochs) for epochs in (1, 4, 5, 12, 20)] == [1, 1, 2, 3, 5]


def test_halving_lets_the_best_third_go_on() -> None:
    rule = SuccessiveHalving(first_rung=2, factor=3)
    curves = at(2, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
    second, third = (rule.decide(Cohort(curves), trial, 2) for trial in ("t1", "t2"))
    assert second is not None
    assert (second.stop, second.rank, second.cutoff) == (False, 2, 2.0)
    assert third is not None
    assert (third.stop, third.rank, third.cutoff) == (True, 3, 2.0)
    assert third.num_peers == len(curves)


def test_with_few_trials_only_the_best_goes_on() -> None:
    rule = SuccessiveHalving(first_rung=2, factor=3)
    alone = rule.decide(Cohort(at(2, 9.0)), "t0", 2)
    worse = rule.decide(Cohort(at(2, 9.0, 10.0)), "t1", 2)
    assert alone is not None
    assert not alone.stop
    assert worse is not None
    assert worse.stop


def test_epochs_between_rungs_decide_nothing() -> None:
    rule = SuccessiveHalving(first_rung=2, factor=3)
    curves = {"t0": Curve(dict.fromkeys(range(1, 20), 1.0))}
    rungs = [epoch for epoch in range(1, 20) if rule.decide(Cohort(curves), "t0", epoch)]
    assert rungs == [2, 6, 18]


def test_the_median_counts_complete_trials_only() -> None:
    rule = MedianRule(first_rung=1, min_trials=3)
    curves = at(1, 1.0, 2.0, 3.0, complete=True)
    curves |= {"good": Curve({1: 2.0}), "bad": Curve({1: 2.1})}
    good, bad = (rule.decide(Cohort(curves), trial, 1) for trial in ("good", "bad"))
    assert good is not None
    assert (good.stop, good.cutoff) == (False, 2.0)
    assert bad is not None
    assert bad.stop
    assert rule.decide(Cohort(at(1, 1.0, 2.0, 9.0)), "t2", 1) is None


def test_the_median_judges_the_best_value_so_far() -> None:
    rule = MedianRule(first_rung=1, min_trials=1)
    curves = {"done": Curve({3: 5.0}, True), "own": Curve({1: 4.0, 3: 9.0})}
    decision = rule.decide(Cohort(curves), "own", 3)
    assert decision is not None
    assert (decision.value, decision.stop) == (4.0, False)


def test_never_is_never() -> None:
    assert NeverStop().decide(Cohort(at(1, 1.0)), "t0", 1) is None


@settings(deadline=None, max_examples=40)
@given(st.lists(values, min_size=1, max_size=20), st.integers(2, 4))
def test_halving_agrees_with_optuna_on_arrival(arrivals: list[float], factor: int) -> None:
    """Trials reach the first rung one after the other, as in an asynchronous study."""
    pruner = optuna.pruners.SuccessiveHalvingPruner(
        min_resource=1, reduction_factor=factor, min_early_stopping_rate=0
    )
    study = optuna.create_study(pruner=pruner, sampler=optuna.samplers.RandomSampler(seed=0))
    rule = SuccessiveHalving(first_rung=1, factor=factor)
    curves: dict[str, Curve] = {}
    for number, value in enumerate(arrivals):
        trial = study.ask()
        trial.report(value, 1)
        curves[str(number)] = Curve({1: value})
        decision = rule.decide(Cohort(curves), str(number), 1)
        assert decision is not None
        assert decision.stop == trial.should_prune()


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(values, min_size=3, max_size=3), min_size=2, max_size=8))
def test_the_median_agrees_with_optuna(curves: list[list[float]]) -> None:
    pruner = optuna.pruners.MedianPruner(n_startup_trials=1, n_warmup_steps=0)
    study = optuna.create_study(pruner=pruner, sampler=optuna.samplers.RandomSampler(seed=0))
    *others, own = curves
    known = {}
    for number, curve in enumerate(others):
        trial = study.ask()
        for epoch, value in enumerate(curve, start=1):
            trial.report(value, epoch)
        study.tell(trial, curve[-1])
        known[str(number)] = Curve(dict(enumerate(curve, start=1)), True)
    rule, trial = MedianRule(first_rung=1, min_trials=1), study.ask()
    for epoch, value in enumerate(own, start=1):
        trial.report(value, epoch)
        so_far = Curve(dict(enumerate(own[:epoch], start=1)))
        decision = rule.decide(Cohort(known | {"own": so_far}), "own", epoch)
        assert decision is not None
        assert decision.stop == trial.should_prune()


@pytest.mark.parametrize("factor", [2, 3])
def test_a_decision_does_not_depend_on_the_order_of_trials(factor: int) -> None:
    rule = SuccessiveHalving(first_rung=1, factor=factor)
    curves = at(1, 5.0, 3.0, 4.0, 1.0)
    backwards = dict(reversed(curves.items()))
    assert rule.decide(Cohort(curves), "t1", 1) == rule.decide(Cohort(backwards), "t1", 1)
