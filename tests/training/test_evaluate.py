"""The official metric on clouds whose distance is known."""

import math

import pytest
import torch

from ss3d.errors import DivergedError
from ss3d.training.evaluate import Evaluation, evaluate, f_score


def evaluation(values, categories):
    half = torch.tensor(values) / 100
    zeros = torch.zeros(len(values))
    return Evaluation(
        ids=[str(i) for i in range(len(values))],
        categories=categories,
        predicted=torch.zeros(len(values), 4, 3) + torch.arange(len(values))[:, None, None],
        pred_to_gt=half,
        gt_to_pred=half,
        f_score=zeros,
        cd_l2=zeros,
    )


def test_sample_and_category_means_differ_as_they_must():
    found = evaluation([2.0, 4.0, 9.0], ["chair", "chair", "lamp"])
    metrics = found.metrics()
    assert metrics["cd_l1"] == pytest.approx(5.0)
    assert metrics["cd_l1_category_mean"] == pytest.approx(6.0)
    assert found.per_category() == {"chair": pytest.approx(3.0), "lamp": pytest.approx(9.0)}
    assert metrics["num_categories"] == 2
    assert metrics["diversity"] == pytest.approx(100 * math.sqrt(3) * (1 + 2 + 1) / 3)


@pytest.mark.parametrize(("count", "kept"), [(3, [0, 1, 2]), (256, range(256))])
def test_up_to_256_models_are_all_in_the_sample(count, kept):
    found = evaluation([float(n) for n in range(count)], ["a"] * count)
    assert found.sample() == tuple(found.cd_l1.tolist()[n] for n in kept)


def test_of_more_models_256_are_in_the_sample_evenly_spread():
    found = evaluation([float(n) for n in range(1000)], ["a"] * 1000)
    values = found.cd_l1.tolist()
    assert found.sample() == tuple(values[n * 1000 // 256] for n in range(256))


def test_a_value_that_is_not_finite_is_an_error():
    with pytest.raises(DivergedError, match="not finite"):
        evaluation([1.0, float("nan")], ["a", "a"]).metrics()


def test_f_score_counts_points_within_a_hundredth():
    near, far = torch.full((1, 10), 0.009), torch.full((1, 10), 0.011)
    assert f_score(near, near).item() == pytest.approx(1.0)
    assert f_score(near, far).item() == 0.0
    half = torch.cat((near[:, :5], far[:, 5:]), 1)
    assert f_score(half, near).item() == pytest.approx(2 * 0.5 / 1.5)


class Perfect(torch.nn.Module):
    """Predicts the targets of a set, shifted by 0.01 along x."""

    def __init__(self, items):
        super().__init__()
        self.rows = iter(torch.cat([target for _, target in items.evaluation()]).split(1))

    def forward(self, images):
        clouds = [next(self.rows) for _ in range(len(images))]
        return torch.cat(clouds) + torch.tensor([1e-4, 0.0, 0.0])


def test_items_are_measured_in_their_order_against_their_own_target(tiny_data):
    items = tiny_data.validation
    found = evaluate(Perfect(items), items, tiny_data.view)
    assert found.ids == list(items.ids)
    assert found.cd_l1.max().item() == pytest.approx(0.01, rel=0.05)
    assert found.f_score.min().item() == pytest.approx(1.0)
