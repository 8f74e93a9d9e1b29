from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ss3d.config import ModelConfig, TrialConfig
from ss3d.errors import ConfigError
from ss3d.model.network import Network, build_network

SIZE = 32


def small_config(**fields: Any) -> ModelConfig:
    values = {
        "cnn_widths": (8, 16, 16),
        "width": 32,
        "num_heads": 4,
        "stage_widths": (8, 16, 8),
        "num_points": 64,
        "num_neighbors": 5,
        "num_basis": 4,
        "style_width": 8,
        **fields,
    }
    tiny = TrialConfig.from_preset("tiny")
    return tiny.override({f"model.{name}": value for name, value in values.items()}).model


def images(batch: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, 3, SIZE, SIZE, generator=generator)


def trained(network: Network) -> Network:
    """Move all parameters off their special initial values, so that every part has an effect."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return network


SWITCHES = {
    "default": {},
    "without hfa": {"use_hfa": False},
    "two hfa layers": {"num_hfa_layers": 2},
    "image semantics": {"semantic_input": "image"},
    "fused semantics": {"semantic_input": "fused"},
    "mlp decoder": {"decoder": "mlp"},
    "two decoder blocks": {"num_decoder_blocks": 2},
    "decoder heads": {"num_decoder_heads": 2},
    "feature graph": {"graph": "feature"},
    "original theta": {"theta": "point_transformer"},
    "progressive": {"progressive_coords": True},
    "progressive features": {"progressive_coords": True, "graph": "feature"},
    "progressive coords": {"progressive_coords": True, "graph": "coords"},
}


@pytest.mark.parametrize("name", SWITCHES)
def test_every_switch_runs_and_trains_all_parameters(name: str):
    network = trained(build_network(small_config(**SWITCHES[name]), SIZE, seed=0))
    clouds = network.forward_stages(images())
    assert len(clouds) == (4 if "progressive" in name else 1)
    assert all(cloud.shape == (3, 64, 3) for cloud in clouds)
    loss = sum((cloud * torch.randn(64, 3)).sum() for cloud in clouds)
    (loss + network.orthogonality()).backward()
    for path, parameter in network.named_parameters():
        assert parameter.grad is not None, path
        assert parameter.grad.isfinite().all(), path
        assert parameter.grad.abs().max() > 1e-6, path


@pytest.mark.parametrize("name", SWITCHES)
def test_row_of_a_batch_equals_the_image_alone(name: str):
    network = trained(build_network(small_config(**SWITCHES[name]), SIZE, seed=0))
    with torch.no_grad():
        batch = network(images())
        assert torch.allclose(batch[1:2], network(images()[1:2]), atol=1e-5)
        assert not torch.allclose(batch[0], batch[1], atol=1e-3)


@pytest.mark.parametrize("name", [name for name in SWITCHES if name != "default"])
def test_every_switch_changes_the_prediction(name: str):
    plain = trained(build_network(small_config(), SIZE, seed=0))
    switched = trained(build_network(small_config(**SWITCHES[name]), SIZE, seed=0))
    switched.load_state_dict(_matching(plain, switched), strict=False)
    with torch.no_grad():
        assert not torch.allclose(plain(images()), switched(images()), atol=1e-4)


def _matching(source: nn.Module, target: nn.Module) -> dict[str, Tensor]:
    shapes = {name: value.shape for name, value in target.state_dict().items()}
    state = source.state_dict()
    return {name: value for name, value in state.items() if shapes.get(name) == value.shape}


@pytest.mark.parametrize("preset", ["tiny", "small"])
def test_first_prediction_is_the_shell(preset: str):
    config = TrialConfig.from_preset(preset)
    network = build_network(config.model, config.data.image_size, seed=0)
    with torch.no_grad():
        prediction = network(torch.randn(2, 3, 64, 64))
    offsets = (prediction - network.shell).norm(dim=-1)
    assert offsets.mean() < 5e-3
    assert (network.shell.norm(dim=-1) - 0.5).abs().max() < 1e-6


@pytest.mark.parametrize("site", ["image_map", "tokens", "points"])
def test_perturbation_acts_at_each_site_with_gradient_in_front_of_it(site: str):
    network = trained(build_network(small_config(), SIZE, seed=0))
    seen: dict[str, tuple[int, ...]] = {}

    def perturb(at: str, features: Tensor) -> Tensor:
        seen[at] = tuple(features.shape)
        return 1.5 * features + 0.1 if at == site else features

    perturbed = network(images(), perturb)
    assert seen == {"image_map": (3, 16, 4, 4), "tokens": (3, 16, 32), "points": (3, 64, 32)}
    assert not torch.allclose(perturbed, network(images()), atol=1e-4)
    (perturbed * torch.randn(64, 3)).sum().backward()
    first = next(network.image_encoder.trunk.parameters())
    assert first.grad is not None
    assert first.grad.any()


def test_weights_depend_on_the_seed_only():
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = build_network(small_config(), SIZE, seed=0).state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    again = build_network(small_config(), SIZE, seed=0).state_dict()
    other = build_network(small_config(), SIZE, seed=1).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(
        first["decoder.0.feed_forward.0.weight"], other["decoder.0.feed_forward.0.weight"]
    )


def test_gradients_have_the_same_bits_every_time():
    network = build_network(small_config(), SIZE, seed=0)
    torch.use_deterministic_algorithms(True)
    try:
        runs = []
        for _ in range(2):
            network.zero_grad()
            network(images()).square().sum().backward()
            runs.append([p.grad.clone() for p in network.parameters() if p.grad is not None])
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


def test_groups_hold_every_parameter_once_and_decay_only_matrices():
    network = build_network(small_config(progressive_coords=True), SIZE, seed=0)
    groups = network.parameter_groups(lr=1e-3, backbone_lr_mult=0.1, weight_decay=0.01)
    grouped = [parameter for group in groups for parameter in group["params"]]
    assert len(grouped) == len(set(grouped)) == len(list(network.parameters()))
    assert {group["lr"] for group in groups} == {1e-3}  # no ResNet
    names = {parameter: name for name, parameter in network.named_parameters()}
    decayed = {names[p] for group in groups if group["weight_decay"] for p in group["params"]}
    for name in names.values():
        kept = name.endswith((".bias", ".basis", ".importance", ".mean", ".positions"))
        assert (name in decayed) == (
            not kept and "norm" not in name and names_matrix(network, name)
        )


def names_matrix(network: nn.Module, name: str) -> bool:
    return network.get_parameter(name).ndim > 1


def resnet_config(**fields: Any) -> ModelConfig:
    return small_config(backbone="resnet50", **fields)


def test_resnet_has_its_own_learning_rate_and_may_be_frozen():
    network = build_network(resnet_config(), SIZE, seed=0)
    groups = network.parameter_groups(lr=1e-3, backbone_lr_mult=0.1, weight_decay=0.01)
    assert sorted((g["lr"], g["weight_decay"]) for g in groups) == [
        (1e-4, 0.0),
        (1e-4, 0.01),
        (1e-3, 0.0),
        (1e-3, 0.01),
    ]
    trunk = set(network.image_encoder.trunk.parameters())
    slow = {p for group in groups if group["lr"] == 1e-4 for p in group["params"]}
    assert slow == trunk
    frozen = build_network(resnet_config(freeze_backbone=True), SIZE, seed=0)
    groups = frozen.parameter_groups(lr=1e-3, backbone_lr_mult=0.1, weight_decay=0.01)
    assert {group["lr"] for group in groups} == {1e-3}


@pytest.mark.parametrize("frozen", [False, True])
def test_frozen_statistics_survive_training_mode(frozen: bool):
    network = build_network(resnet_config(), SIZE, seed=0)
    if frozen:
        network.freeze_statistics()
    network.train()
    before = network.image_encoder.trunk.bn1.running_mean.clone()
    network(images(2))
    assert torch.equal(network.image_encoder.trunk.bn1.running_mean, before) == frozen
    assert network.image_encoder.trunk.bn1.weight.requires_grad


def test_a_frozen_backbone_does_not_move_at_all():
    network = build_network(resnet_config(freeze_backbone=True), SIZE, seed=0).train()
    before = {k: v.clone() for k, v in network.image_encoder.trunk.state_dict().items()}
    network(images(2)).sum().backward()
    assert all(p.grad is None for p in network.image_encoder.trunk.parameters())
    after = network.image_encoder.trunk.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_weights_need_a_resnet(tmp_path):
    with pytest.raises(ConfigError, match="resnet50"):
        build_network(small_config(), SIZE, seed=0, weights=tmp_path / "weights")


def test_bf16_autocast_predicts_fp32_clouds_close_by():
    network = trained(build_network(small_config(), SIZE, seed=0))
    with torch.no_grad():
        exact = network(images())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rounded = network(images())
    assert rounded.dtype == torch.float32
    assert torch.allclose(rounded, exact, atol=0.1)


def test_paper_preset_runs_forward_and_backward():
    config = TrialConfig.from_preset("paper")
    network = build_network(config.model, config.data.image_size, seed=0)
    prediction = network(torch.randn(2, 3, 224, 224))
    offsets = prediction - network.shell
    assert prediction.shape == (2, 1024, 3)
    assert offsets.norm(dim=-1).mean() < 5e-3
    prediction.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
