"""The efficiency table: what is counted, and that every ablation can be built."""

import time

import pytest
import torch

from ss3d.config import TrialConfig
from ss3d.model.counting import count_parameters, meta_network
from ss3d.model.efficiency import LiveTensors, ablations, measure_cost, measure_latency

CPU = torch.device("cpu")


def test_live_tensors_are_counted_while_they_live():
    with LiveTensors() as live:
        first = torch.zeros(1000)
        second = first + 1
        view = second.view(10, 100)
        del second
        assert live.current == 8000
        view.add_(1)
        assert live.current == 8000
        del view
        assert live.current == 4000
        torch.zeros(3000).sum()
        assert live.current == 4000
        assert live.peak == 4000 + 12000 + 4


def test_few_runs_of_something_slow_many_of_something_quick():
    latency, runs = measure_latency(lambda: time.sleep(0.01), CPU, budget_s=0.0)
    assert runs == 5
    assert latency >= 0.01
    assert measure_latency(lambda: None, CPU)[1] == 50


def test_a_line_says_what_the_network_is():
    config = TrialConfig.from_preset("tiny")
    cost = measure_cost("MLP", config, {"model.decoder": "mlp"}, CPU)
    changed = config.override({"model.decoder": "mlp"})
    assert cost.parameters == count_parameters(meta_network(changed.model, 64))["total"]
    assert cost.peak_bytes > 4 * cost.parameters + 4 * 3 * 64 * 64
    assert cost.latency_s > 0
    assert (cost.name, cost.image_size) == ("MLP", 64)


def test_more_points_need_more_memory_the_same_again_the_same():
    config = TrialConfig.from_preset("tiny")
    few, again, many = (
        measure_cost("", config.override({"model.num_points": n}), {}, CPU).peak_bytes
        for n in (64, 64, 256)
    )
    assert few == again
    assert many > few


@pytest.mark.parametrize("preset", ["paper", "small", "tiny"])
def test_every_ablation_fits_its_preset_and_changes_it(preset):
    config = TrialConfig.from_preset(preset)
    found = ablations(config)
    assert all(config.override(changes) != config for changes in found.values())
    assert ("layer3" in found) == (preset == "paper")
    assert ("128 x 128 pixels" in found) == (preset == "paper")
    for changes in found.values():
        changed = config.override(changes)
        meta_network(changed.model, changed.data.image_size)


def test_ablations_cost_what_they_must():
    config = TrialConfig.from_preset("paper")
    totals = {
        name: count_parameters(
            meta_network(config.override(c).model, config.override(c).data.image_size)
        )["total"]
        for name, c in {"paper": {}, **ablations(config)}.items()
    }
    paper, width = totals["paper"], config.model.width
    one_layer = 2 * (4 * width**2 + 3 * width) + 2 * (width**2 + width + 2 * width)
    assert totals["two HFA layers"] - paper == one_layer
    assert paper - totals["without HFA"] == one_layer - (width**2 + width)
    assert totals["feature graph"] == totals["one head"] == totals["16 heads"] == paper
    assert totals["progressive coordinates"] == totals["coordinate graph"]
    theta_of = {c: (3 * c + c) + 2 * c + (c * c + c) for c in (64, 128, 32)}  # Linear, LN, Linear
    original = {c: 9 + 6 + (3 * c + c) for c in theta_of}  # Linear, BN, Linear
    blocks = (64, 128, 32, 64, 128)
    assert paper - totals["theta of Point Transformer"] == sum(
        theta_of[c] - original[c] for c in blocks
    )
    assert totals["progressive coordinates"] - paper == 3 * (32 + 64 + 128) + 9
    assert totals["layer3"] == pytest.approx(
        paper - 15.0e6, rel=0.02
    )  # without layer4, 49 to 196 tokens
    assert paper - totals["128 x 128 pixels"] == (49 - 16) * width
