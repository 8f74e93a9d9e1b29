import pytest
import torch

from ss3d.config import TrialConfig
from ss3d.model.counting import count_flops, count_parameters, meta_network
from ss3d.model.network import build_network


@pytest.mark.parametrize(
    ("preset", "millions", "tolerance"),
    [("paper", 29.70, 0.02), ("small", 1.8, 0.1), ("tiny", 0.41, 0.1)],
)
def test_presets_have_the_parameters_they_should(preset: str, millions: float, tolerance: float):
    config = TrialConfig.from_preset(preset)
    counts = count_parameters(meta_network(config.model, config.data.image_size))
    assert counts["total"] == pytest.approx(millions * 1e6, rel=tolerance)
    assert sum(counts.values()) == 2 * counts["total"]


def test_heads_change_no_parameter_and_the_mlp_decoder_saves_some():
    paper = TrialConfig.from_preset("paper")
    counts = {
        name: count_parameters(meta_network(paper.override(values).model, 224))["total"]
        for name, values in {
            "paper": {},
            "heads": {"model.num_heads": 2},
            "mlp": {"model.decoder": "mlp"},
        }.items()
    }
    assert counts["heads"] == counts["paper"]
    assert 0.12e6 < counts["paper"] - counts["mlp"] < 0.15e6


def test_meta_network_has_the_shapes_of_the_real_one():
    config = TrialConfig.from_preset("tiny")
    real = build_network(config.model, 64, seed=0)
    meta = meta_network(config.model, 64)
    assert count_parameters(meta) == count_parameters(real)
    assert all(value.is_meta for value in meta.state_dict().values())


def test_operations_of_a_trunk_layer_by_hand():
    config = TrialConfig.from_preset("tiny").override({"model.cnn_widths": (8,)})
    few = count_flops(config.model, 32)
    convolution = 2 * 16 * 16 * 8 * 3 * 9
    projection = 2 * 256 * 8 * 32
    assert few["image_encoder"] == convolution + projection
    assert sum(few.values()) == 2 * few["total"]


def test_paper_preset_costs_about_what_was_estimated():
    config = TrialConfig.from_preset("paper")
    flops = count_flops(config.model, 224)
    assert flops["image_encoder"] == pytest.approx(8.22e9, rel=0.01)
    assert flops["total"] == pytest.approx(12e9, rel=0.1)
    assert all(count > 0 for count in flops.values())


def test_counting_leaves_no_trace_on_the_default_device():
    meta_network(TrialConfig.from_preset("tiny").model, 64)
    assert torch.zeros(1).device.type == "cpu"
