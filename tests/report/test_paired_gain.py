import math

import numpy as np
import pytest

from ss3d.report.paired_gain import PairedGain, paired_gain


def normal(shape: tuple[int, int], mean: float = 0.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 1.0, size=shape)


def test_the_interval_is_that_of_a_normal_mean() -> None:
    values = normal((1, 400), mean=0.3)
    gain = paired_gain(values)
    half = 1.96 * values.std() / math.sqrt(400)
    assert gain.mean == pytest.approx(values.mean(), abs=1e-12)
    assert gain.low == pytest.approx(values.mean() - half, abs=0.04 * half)
    assert gain.high == pytest.approx(values.mean() + half, abs=0.04 * half)
    assert (gain.num_models, gain.num_replicates) == (400, 1)


def test_95_of_100_intervals_hold_the_true_mean() -> None:
    trials, mean = 300, 0.7
    hits = 0
    for seed in range(trials):
        gain = paired_gain(normal((1, 60), mean=mean, seed=seed))
        hits += gain.low <= mean <= gain.high
    # A percentile bootstrap of 60 covers 94.4 %: 283 of 300, give or take 3 times 4.0.
    assert 271 <= hits <= 295


@pytest.mark.parametrize("replicates", [3, 8])
def test_where_only_seeds_vary_the_interval_is_student_s(replicates: int) -> None:
    rows = normal((replicates, 1), seed=1)
    gain = paired_gain(np.repeat(rows, 50, axis=1))
    error = rows.std(ddof=1) / math.sqrt(replicates)
    half = {3: 4.303, 8: 2.365}[replicates] * error
    assert (gain.high - gain.low) / 2 == pytest.approx(half, rel=0.05)
    assert gain.num_replicates == replicates


def test_models_and_seeds_add_their_variances() -> None:
    rows, columns = normal((40, 1), seed=1), 2 * normal((1, 50), seed=2)
    gain = paired_gain(rows + columns)
    sd = math.sqrt(rows.var() / 40 + columns.var() / 50)
    assert gain.high - gain.low == pytest.approx(2 * 1.96 * sd, rel=0.05)


def test_95_of_100_intervals_of_three_seeds_hold_the_true_mean() -> None:
    trials, mean = 300, 0.7
    hits = 0
    for seed in range(trials):
        rows, columns = normal((3, 1), seed=3 * seed), normal((1, 60), seed=3 * seed + 1)
        gain = paired_gain(mean + rows + columns + normal((3, 60), seed=3 * seed + 2))
        hits += gain.low <= mean <= gain.high
    assert 274 <= hits <= 296  # 95 % of 300 is 285, give or take 3 times 3.8


def test_replicates_that_agree_say_no_more_than_one() -> None:
    values = normal((1, 50))
    one, three = paired_gain(values), paired_gain(np.repeat(values, 3, axis=0))
    assert (three.low, three.high) == pytest.approx((one.low, one.high), abs=0.03)


def test_replicates_that_disagree_widen_the_interval() -> None:
    values = normal((1, 50), mean=1.0) * 0.1
    assert paired_gain(values + 1).verdict == "better"
    torn = np.concatenate([values + 1, values - 1])
    assert paired_gain(torn).verdict == "not distinguishable"


@pytest.mark.parametrize(
    ("value", "verdict"), [(0.3, "better"), (-0.3, "worse"), (0.0, "not distinguishable")]
)
@pytest.mark.parametrize("shape", [(1, 20), (3, 20)])
def test_equal_differences_have_an_interval_of_no_width(
    value: float, verdict: str, shape: tuple[int, int]
) -> None:
    gain = paired_gain(np.full(shape, value))
    assert (gain.low, gain.mean, gain.high) == pytest.approx((value, value, value), abs=1e-12)
    assert gain.verdict == verdict


def test_one_model_decides_nothing() -> None:
    assert paired_gain(np.array([[0.4]])) == PairedGain(
        0.4, -math.inf, math.inf, "not distinguishable", 1, 1
    )


@pytest.mark.parametrize("shape", [(1, 30), (3, 30)])
def test_the_order_does_not_matter(shape: tuple[int, int]) -> None:
    values = normal(shape, mean=0.2)
    rng = np.random.default_rng(5)
    shuffled = values[rng.permutation(shape[0])][:, rng.permutation(shape[1])]
    assert paired_gain(shuffled) == paired_gain(values)


@pytest.mark.parametrize("shape", [(1, 30), (3, 30)])
def test_the_sign_turns_everything_around(shape: tuple[int, int]) -> None:
    values = normal(shape, mean=0.6)
    gain, turned = paired_gain(values), paired_gain(-values)
    assert (turned.mean, turned.low, turned.high) == (-gain.mean, -gain.high, -gain.low)
    assert (gain.verdict, turned.verdict) == ("better", "worse")


def test_a_seed_repeats_and_another_differs() -> None:
    values = normal((2, 30))
    assert paired_gain(values, seed=3) == paired_gain(values, seed=3)
    assert paired_gain(values, seed=3).low != paired_gain(values, seed=4).low


def test_many_models_take_several_chunks() -> None:
    values = normal((1, 1500), mean=0.0)
    gain = paired_gain(values)
    half = 1.96 * values.std() / math.sqrt(1500)
    assert (gain.high - gain.low) / 2 == pytest.approx(half, rel=0.04)


@pytest.mark.parametrize(
    "values", [np.zeros((0, 3)), np.zeros((1, 0)), np.zeros(3), np.array([[1.0, np.nan]])]
)
def test_what_is_no_difference_is_refused(values: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected finite"):
        paired_gain(values)
