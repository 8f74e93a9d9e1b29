from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from ss3d.bench.cell import Cell, Ended
from ss3d.bench.savings import BOTH, PLAIN, Table, tables
from ss3d.bench.savings_summary import TOLERANCE, summarize
from ss3d.bench.shape import HEADS, RATIOS, EpochSeconds, Shape, halved_share, rungs
from ss3d.config import TrialConfig
from ss3d.study.pruners import make_rule
from ss3d.study.rungs import SuccessiveHalving
from ss3d.study.sharing import count_shared
from ss3d.study.space import load_space


def end(at: float, value: float, pretrain_s: float = 0.0, semi_s: float = 1.0) -> Ended:
    """A trial that is complete if its phase lasted a second."""
    return Ended(
        at=at,
        pretrain_s=pretrain_s,
        start_s=0.0,
        semi_s=semi_s,
        value=value,
        epoch=30 if semi_s == 1.0 else 8,
    )


def cell(way: str, seed: int, *trials: Ended, wall_s: float = 10.0) -> Cell:
    return Cell(
        way=way,
        seed=seed,
        conditions={},
        num_epochs=30,
        num_pretrains=sum(trial.pretrain_s > 0 for trial in trials),
        wall_s=wall_s,
        trials=trials,
    )


def test_rungs_are_2_and_8_and_the_whole() -> None:
    assert rungs(30) == [2, 8, 30]
    assert rungs(8) == [2, 8]
    assert rungs(1) == [1]
    assert halved_share(30) == pytest.approx(2 / 30 + 1 / 4 * 6 / 30 + 1 / 16 * 22 / 30)
    assert halved_share(1) == 1


@pytest.mark.parametrize(
    ("share", "num_keys", "units"),
    [(0.5, 9, 9.7), (0.5, 3, 6.7), (0.5, 1, 5.7), (0.25, 9, 10.05)],
)
def test_ceiling_is_that_of_a_table_of_64_trials(share: float, num_keys: int, units: float) -> None:
    """G p + 0.1625 N (1 - p) whole trials instead of N."""
    seconds = EpochSeconds(pretrain_s=10 * share, start_s=0.0, semi_s=10 * (1 - share))
    ceiling = seconds.ceiling(64, 30, num_keys, is_halved=True)
    assert 64 / ceiling == pytest.approx(units, abs=0.05)


def test_ceilings_of_one_saving_alone_and_of_none() -> None:
    seconds = EpochSeconds(pretrain_s=5.0, start_s=1.0, semi_s=4.0)
    assert seconds.ceiling(32, 30, None, is_halved=False) == 1
    assert seconds.ceiling(32, 30, 8, is_halved=False) == pytest.approx(320 / (40 + 160))
    assert seconds.ceiling(32, 30, None, is_halved=True) == pytest.approx(
        320 / (160 + 32 * (1 + 4 * 0.1625))
    )
    assert seconds.ceiling(4, 30, 9, is_halved=False) == 1  # four trials need four at most


def test_time_to_target_counts_everything_spent_before() -> None:
    found = cell(
        "plain", 0, end(1, 9.0, pretrain_s=3.0), end(2, 1.0, semi_s=0.5), end(3, 8.0), end(4, 7.0)
    )
    assert list(found.anytime()) == [(4.0, 9.0), (5.5, 8.0), (6.5, 7.0)]
    assert found.time_to(9.5) == 4.0
    assert found.time_to(8.0) == 5.5
    assert found.time_to(1.0) == math.inf  # that trial was stopped: its value is not final
    assert (found.spent_s, found.pretrain_s, found.best) == (6.5, 3.0, 7.0)


def test_summary_is_the_median_of_ratios_seed_by_seed() -> None:
    table = Table(Shape(4), (PLAIN, BOTH), goal=2.0)
    cells = []
    for seed, factor in enumerate((2.0, 5.0, 4.0)):
        trials = [end(number, 5.0, pretrain_s=3.0) for number in range(4)]
        cells.append(cell("plain", seed, *trials, wall_s=20.0))
        spent_s = 16.0 / factor
        cells.append(cell("both", seed, end(0, 5.0, pretrain_s=spent_s - 1), wall_s=10.0))
    summary = summarize(table, cells)
    plain, both = summary.rows
    assert (plain.ratio, plain.ceiling, plain.spent_s, plain.num_pretrains) == (1, 1, 16, 4)
    assert (both.ratio, both.spent_s, both.wall_ratio) == (4.0, 4.0, 2.0)
    assert (plain.best_change, both.best_change) == (0.0, 0.0)
    assert (both.target_ratio, both.time_to_target_s) == (1.0, 4.0)
    assert both.ceiling == pytest.approx(16 / (4 * 3 + 4 * 0.1625))
    assert (summary.trial_s, summary.pretrain_share) == (4.0, 0.75)
    assert summary.is_reached
    assert not summarize(replace(table, goal=4.1), cells).is_reached


def test_a_way_that_finds_less_has_no_time_to_target_and_reaches_no_goal() -> None:
    table = Table(Shape(4), (PLAIN, BOTH), goal=1.0)
    value = 5.0 * (1 + TOLERANCE) + 0.01
    cells = [cell("plain", 0, end(0, 5.0, 3.0)), cell("both", 0, end(0, value, 1.0))]
    summary = summarize(table, cells)
    assert summary.row(BOTH).time_to_target_s == math.inf
    assert summary.row(BOTH).target_ratio == 0
    assert summary.row(BOTH).best_change == pytest.approx(value - 5.0)
    assert not summary.is_reached


@pytest.mark.parametrize("is_quick", [False, True])
def test_the_written_space_is_the_stated_shape(tmp_path: Path, is_quick: bool) -> None:
    first, second = (table.shape for table in tables(32, is_quick))
    assert (first.num_keys, second.num_keys, second.num_trials) == (9, 3, 64)
    path = tmp_path / "both.toml"
    path.write_text(first.space(3, "tpe", "asha"))
    space = load_space(path)
    assert (space.num_trials, space.seed, space.sampler.name) == (32, 3, "tpe")
    assert count_shared(space, "pretrain") == 9
    assert make_rule(space) == SuccessiveHalving(2, 4)
    assert space.base.model.preset == TrialConfig.from_preset("tiny").model.preset
    ranges = {p.path: str(p.range) for p in space.parameters}
    assert len(ranges) == 5
    assert (first.ratios, first.heads) == (RATIOS, HEADS)
