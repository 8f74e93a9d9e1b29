"""The full measurement: means, views, floor and its warning."""

import dataclasses
import math

import pytest
import torch

from ss3d.model.network import build_network
from ss3d.training.assessment import assess, by_category
from ss3d.training.evaluate import evaluate


@pytest.fixture(scope="module")
def assessed(quick_config, tiny_data):
    network = build_network(quick_config.model, quick_config.data.image_size, seed=0)
    with torch.no_grad():  # the initial network ignores its image
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    return network, assess(network, tiny_data.validation, tiny_data.view)


def test_both_means_and_every_category():
    found = by_category(torch.tensor([1.0, 2.0, 9.0]), ["b", "b", "a"])
    assert found == {
        "sample_mean": pytest.approx(4.0),
        "category_mean": pytest.approx(5.25),
        "per_category": {"a": pytest.approx(9.0), "b": pytest.approx(1.5)},
    }
    assert list(found["per_category"]) == ["a", "b"]


def test_the_official_metric_is_that_of_an_epoch(assessed, tiny_data):
    network, found = assessed
    epoch = evaluate(network, tiny_data.validation, tiny_data.view)
    table = found.table()
    assert table["cd_l1"]["sample_mean"] == pytest.approx(epoch.metrics()["cd_l1"])
    assert table["cd_l1"]["category_mean"] == pytest.approx(epoch.metrics()["cd_l1_category_mean"])
    halves = table["cd_pred_to_gt"]["sample_mean"] + table["cd_gt_to_pred"]["sample_mean"]
    assert table["cd_l1_sum"]["sample_mean"] == pytest.approx(halves)
    assert table["cd_l1_sum"]["sample_mean"] == pytest.approx(2 * table["cd_l1"]["sample_mean"])


def test_every_metric_has_a_finite_value_for_every_model(assessed, tiny_data):
    _, found = assessed
    assert all(len(values) == len(tiny_data.validation) for values in found.values.values())
    assert all(values.isfinite().all() for values in found.values.values())
    assert found.num_views == 2
    assert found.values["cd_between_views"].min() > 0
    assert found.random_pairs is not None
    assert found.random_pairs > 0


def test_the_views_compared_are_different_images(assessed, tiny_data):
    network, found = assessed
    items = tiny_data.validation
    first, second = (next(items.view(number)) for number in range(2))
    assert torch.equal(first, next(items.evaluation())[0])
    assert not torch.equal(first, second)
    from ss3d.data.views import eval_view
    from ss3d.points.chamfer import chamfer_l1

    with torch.no_grad():
        network.eval()
        clouds = [network(eval_view(rgba, tiny_data.view)) for rgba in (first, second)]
    torch.testing.assert_close(
        100 * chamfer_l1(*clouds), found.values["cd_between_views"][: len(first)]
    )


def test_targets_are_the_first_stored_points(tiny_data):
    items = tiny_data.validation
    stored = torch.cat(list(items.stored_clouds(5)))
    targets = torch.cat([target for _, target in items.evaluation()])
    assert stored.shape == (len(items), 512, 3)
    assert torch.equal(stored[:, : targets.shape[1]], targets)


def test_few_stored_points_have_no_floor(assessed):
    _, found = assessed
    assert found.floor is None
    assert found.floor_share is None
    assert found.warning is None


@pytest.mark.parametrize(("share", "warns"), [(0.79, True), (0.81, False)])
def test_a_mean_under_the_floor_is_suspicious(assessed, share, warns):
    _, found = assessed
    floor = found.evaluation.cd_l1 / share
    found = dataclasses.replace(found, floor=floor)
    assert found.floor_share == pytest.approx(share)
    assert (found.warning is not None) == warns


def test_spread_over_categories_by_hand(assessed):
    _, found = assessed
    half = torch.tensor([0.01, 0.03, 0.05])
    evaluation = dataclasses.replace(
        found.evaluation,
        ids=["1", "2", "3"],
        categories=["a", "a", "b"],
        pred_to_gt=half,
        gt_to_pred=half,
    )
    spread = dataclasses.replace(found, evaluation=evaluation).category_sd
    assert spread == pytest.approx(1.5)  # of the means 2 and 5
    assert not math.isnan(spread)
