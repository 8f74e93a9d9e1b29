"""What study.json says of objectives and constraints, and what a trial's values make of it."""

from __future__ import annotations

import math

import pytest

from ss3d.trial.dominance import Outcome
from ss3d.trial.objectives import Constraint, Objective, Objectives, objectives_of
from ss3d.trial.records import EpochReport

SEVERAL = Objectives(
    (Objective("val/cd_l1", minimize=True), Objective("val/f_score", minimize=False)),
    (Constraint("system/memory_mib", most=8000.0), Constraint("val/f_score", least=0.25)),
)


@pytest.mark.parametrize(
    "objectives",
    [SEVERAL, Objectives(SEVERAL.all[:1]), Objectives(SEVERAL.all[1:], SEVERAL.constraints)],
)
def test_what_is_stated_is_read_again(objectives: Objectives) -> None:
    assert objectives_of(objectives.as_spec()) == objectives


def test_studies_of_before_have_a_single_table_or_none() -> None:
    stated = {"objective": {"metric": "val/f_score", "direction": "maximize"}}
    assert objectives_of(stated) == Objectives((Objective("val/f_score", minimize=False),))
    assert objectives_of(stated).as_spec() == stated
    assert objectives_of({}) == Objectives((Objective("val/cd_l1", minimize=True),))


@pytest.mark.parametrize(
    ("memory", "score", "violation"),
    [
        (8000.0, 0.25, 0.0),
        (10000.0, 0.25, 0.25),
        (4000.0, 0.125, 0.5),
        (10000.0, 0.125, 0.75),
    ],
)
def test_a_violation_is_the_sum_of_shares_of_the_bounds(
    memory: float, score: float, violation: float
) -> None:
    values = {"val/cd_l1": 3.0, "val/f_score": score, "system/memory_mib": memory}
    assert SEVERAL.outcome(values) == Outcome((3.0, -score), violation)
    assert SEVERAL.is_feasible(values) == (violation == 0)


def test_what_was_not_measured_keeps_no_bound_and_is_no_best() -> None:
    assert SEVERAL.outcome({"val/cd_l1": 3.0, "val/f_score": 1.0}).violation == math.inf
    assert SEVERAL.outcome({"system/memory_mib": 1.0, "val/f_score": 1.0}).violation == math.inf


def test_a_bound_of_zero_is_measured_in_units() -> None:
    assert Constraint("val/gain", least=0.0).excess(-0.5) == 0.5


def test_a_report_is_read_by_the_names_of_metrics_and_of_the_system() -> None:
    report = EpochReport(
        phase="semi",
        epoch=1,
        step=1,
        metrics={"val/cd_l1": 3.0, "val/f_score": 0.5, "val/gain": 1.0},
        system={"memory_mib": 7000.0, "epoch_s": 1.0},
        digest="",
    )
    assert SEVERAL.measured(report) == {
        "val/cd_l1": 3.0,
        "val/f_score": 0.5,
        "system/memory_mib": 7000.0,
    }
