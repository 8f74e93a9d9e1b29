"""Schedule, clipping and averages."""

import pytest
import torch
from torch import nn

from ss3d.errors import DivergedError
from ss3d.training.optimizer import Averages, learning_rate, make_optimizer, optimizer_step


def test_learning_rate_rises_linearly_then_falls_to_one_percent():
    assert learning_rate(0, 1000) == pytest.approx(1 / 30)
    assert learning_rate(29, 1000) == 1.0
    assert learning_rate(30 + 485, 1000) == pytest.approx(0.505)
    assert learning_rate(1000, 1000) == pytest.approx(0.01)


def test_a_step_reports_the_norm_before_clipping_and_uses_the_factor():
    layer = nn.Linear(1, 1, bias=False)
    optimizer = make_optimizer([{"params": list(layer.parameters()), "lr": 0.1}])
    before = layer.weight.item()
    norm = optimizer_step(optimizer, layer, (3 * layer.weight).sum(), 1.0, 0.5)
    assert norm.item() == pytest.approx(3.0)
    decay = 1 - 0.05 * 0.01  # AdamW's default weight decay
    assert layer.weight.item() == pytest.approx(before * decay - 0.05, abs=1e-5)


def test_averages_are_means_with_a_prefix():
    averages = Averages()
    averages.add(loss=torch.tensor(1.0), lr=0.5)
    averages.add(loss=torch.tensor(3.0), lr=0.5)
    assert averages.means() == {"train/loss": 2.0, "train/lr": 0.5}


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_an_error_that_names_it(bad):
    averages = Averages()
    averages.add(loss_sup=torch.tensor(bad))
    with pytest.raises(DivergedError, match=r"train/loss_sup is (nan|inf)"):
        averages.means()
