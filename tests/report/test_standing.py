"""Who is likely to be the best, against what is known in closed form and against simulations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import stdtr

from ss3d.report.standing import Standing, stand


def cells(values: np.ndarray) -> list[Standing]:
    """Standings of (K, R) or (K, R, V) values without gaps."""
    num_arms, num_seeds = values.shape[:2]
    arms, seeds = np.indices((num_arms, num_seeds)).reshape(2, -1)
    return stand(arms, seeds, values.reshape(num_arms * num_seeds, -1))


def probabilities(standings: list[Standing]) -> list[float | None]:
    return [standing.probability for standing in standings]


@pytest.mark.parametrize("num_arms", [1, 2, 3, 5])
def test_identical_arms_win_equally_often(num_arms: int) -> None:
    row = np.random.default_rng(1).normal(9, 1, size=(1, 4, 30))
    found = cells(np.repeat(row, num_arms, axis=0))
    assert probabilities(found) == pytest.approx([1 / num_arms] * num_arms)
    assert [one.mean for one in found] == pytest.approx([row.mean()] * num_arms)


def test_a_clearly_better_arm_is_the_best() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(0, 0.01, size=(3, 3, 20)) + np.array([5.0, 4.0, 6.0])[:, None, None]
    assert probabilities(cells(values)) == pytest.approx([0, 1, 0], abs=1e-3)


def test_two_arms_are_the_paired_t_test() -> None:
    values = np.array([[9.0, 8.0, 9.5, 9.1], [9.2, 8.5, 9.4, 9.3]])
    difference = values[1] - values[0]
    t = difference.mean() / (difference.std(ddof=1) / 2)
    assert probabilities(cells(values))[0] == pytest.approx(stdtr(3, t), abs=0.015)


def test_what_a_seed_does_to_all_cancels() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(9, 0.1, size=(3, 4))
    shifted = values + np.array([0.0, 5.0, -3.0, 2.0])
    assert probabilities(cells(shifted)) == pytest.approx(probabilities(cells(values)), abs=1e-6)


def test_a_missing_seed_is_made_up_for_by_the_others() -> None:
    arms, seeds = np.array([0, 0, 0, 1, 1]), np.array([0, 1, 2, 0, 1])
    values = np.array([[5.0], [6.0], [10.0], [5.5], [6.5]])
    first, second = stand(arms, seeds, values)
    assert (first.mean, second.mean) == pytest.approx((7.0, 7.5))
    assert first.probability == pytest.approx(1)


@pytest.mark.parametrize(
    ("arms", "seeds"), [([0, 1], [0, 0]), ([0, 1, 1], [0, 1, 2]), ([0, 0, 1, 1], [0, 1, 2, 3])]
)
def test_arms_that_cannot_be_told_from_seeds_have_no_probability(
    arms: list[int], seeds: list[int]
) -> None:
    values = np.arange(float(len(arms)))[:, None]
    found = stand(np.array(arms), np.array(seeds), values)
    assert probabilities(found) == [None, None]


def test_models_that_disagree_keep_an_arm_from_being_certain() -> None:
    by_model = np.array([[5.0] * 4 + [9.0], [5.2] * 4 + [8.0]])  # one model in five decides
    values = np.repeat(by_model[:, None, :], 3, axis=1)
    sure = cells(values.mean(axis=2, keepdims=True))
    assert probabilities(sure) == pytest.approx([0, 1])
    without = 0.8**5  # a resample without that model prefers the other arm
    assert probabilities(cells(values))[0] == pytest.approx(without, abs=0.02)


def test_the_probability_is_calibrated() -> None:
    """Of arms whose means are drawn anew each time, those given p are the best p times in one."""
    rng = np.random.default_rng(4)
    claimed, happened = [], []
    for _ in range(150):
        means = rng.normal(0, 2, size=3)
        values = means[:, None] + rng.normal(0, 3, size=4) + rng.normal(0, 1, size=(3, 4))
        claimed += probabilities(cells(values))
        happened += [arm == means.argmin() for arm in range(3)]
    stated, true = np.array(claimed, dtype=float), np.array(happened, dtype=float)
    for low, high in ((0, 0.1), (0.1, 0.5), (0.5, 0.9), (0.9, 1.001)):
        inside = (low <= stated) & (stated < high)
        spread = 3 * np.sqrt(0.25 / inside.sum())
        assert abs(stated[inside].mean() - true[inside].mean()) < min(spread, 0.12), (low, high)
