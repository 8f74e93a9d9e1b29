"""Every switch of the network does what it says: closed forms and where gradients may flow."""

from typing import Any

import pytest
import torch
from torch import Tensor

from ss3d.config import ModelConfig, TrialConfig
from ss3d.errors import ConfigError
from ss3d.model.network import Network, build_network
from ss3d.model.point_transformer import OffsetNorm
from ss3d.model.shape_matching import relative_offsets
from ss3d.points.shell import mean_spacing, neighbors

SIZE = 32


def config(**fields: Any) -> ModelConfig:
    small = {
        "cnn_widths": (8, 16, 16), "width": 32, "num_heads": 4, "stage_widths": (8, 8, 8),
        "num_points": 48, "num_neighbors": 4, "num_basis": 4, "style_width": 8, **fields,
    }  # fmt: skip
    tiny = TrialConfig.from_preset("tiny")
    return tiny.override({f"model.{name}": value for name, value in small.items()}).model


def network(**fields: Any) -> Network:
    """A network away from its initial values, at which the image has no effect."""
    built = build_network(config(**fields), SIZE, seed=0)
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=random)
    return built.eval()


def images(batch: int = 2, size: int = SIZE) -> Tensor:
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(2))


def reached(loss: Tensor, *parameters: Tensor) -> list[bool]:
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return [gradient is not None and bool(gradient.any()) for gradient in found]


@pytest.mark.parametrize("use_hfa", [True, False])
def test_tokens_learn_from_points_only_with_hfa(use_hfa: bool):
    built = network(use_hfa=use_hfa)
    tokens = built.image_encoder(images(), lambda _, features: features)
    _, fused = built.fusion(torch.randn(1, 48, 32), tokens)
    assert torch.equal(fused, tokens) != use_hfa


def test_without_hfa_every_point_gets_the_same_from_the_image():
    built = network(use_hfa=False)
    points, tokens = torch.randn(1, 48, 32), torch.randn(2, 16, 32)
    moved = built.fusion(points, tokens)[0] - points
    expected = tokens.mean(1) @ built.fusion.linear.weight.T + built.fusion.linear.bias
    torch.testing.assert_close(moved, expected[:, None].expand(-1, 48, -1))


@pytest.mark.parametrize(("decoder", "is_local"), [("mlp", True), ("self_attention", False)])
def test_only_self_attention_lets_points_see_each_other(decoder: str, is_local: bool):
    built = network(decoder=decoder)
    features = torch.randn(1, 48, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(built.decoder(features)[0, 7].sum(), features)
    others = torch.arange(48) != 7
    assert gradient[0, 7].any()
    assert bool(gradient[0, others].any()) != is_local


@pytest.mark.parametrize(
    ("source", "image", "fused"), [("both", True, True), ("image", True, False),
                                   ("fused", False, True)],
)  # fmt: skip
def test_semantic_gradient_takes_the_road_that_is_open(source: str, image: bool, fused: bool):
    built = network(semantic_input=source)
    tokens = built.image_encoder(images(), lambda _, features: features).detach()
    before, after = (tokens.mean(1).requires_grad_() for _ in range(2))
    assert reached(built.semantics(before, after).sum(), before, after) == [image, fused]


def graphs_of(built: Network) -> list[Tensor]:
    """The neighbors that each stage used in one forward pass."""
    used: list[Tensor] = []
    for stage in built.shape_matching.stages:
        stage.register_forward_pre_hook(lambda _, arguments: used.append(arguments[1].index))
    with torch.no_grad():
        built(images())
    return used


def test_the_sphere_graph_is_that_of_the_shell_in_every_stage():
    built = network()
    assert all(torch.equal(index, built.shell_index) for index in graphs_of(built))


def test_the_feature_graph_is_computed_anew_from_the_features():
    built = network(graph="feature")
    seen: list[Tensor] = []
    for stage in built.shape_matching.stages:
        stage.register_forward_hook(lambda _, __, features: seen.append(features))
    first, second, third = graphs_of(built)
    assert torch.equal(first, built.shell_index)
    for index, features in ((second, seen[0]), (third, seen[1])):
        assert torch.equal(index, neighbors(features, 4))
        assert index.shape == (2, 48, 4)


def test_the_coordinate_graph_is_that_of_the_cloud_so_far_without_gradient_through_the_choice():
    built = network(graph="coords", progressive_coords=True)
    _, second, third = graphs_of(built)
    with torch.no_grad():
        clouds = built.forward_stages(images())
    assert torch.equal(second, neighbors(clouds[0], 4))
    assert torch.equal(third, neighbors(clouds[1], 4))


def test_progressive_clouds_are_attached_to_what_moved_them():
    built = network(progressive_coords=True)
    clouds = built.forward_stages(images())
    moves = [move.weight for move in built.shape_matching.moves]
    assert reached(clouds[0].square().sum(), *moves) == [True, False, False]
    clouds = built.forward_stages(images())
    assert reached(clouds[2].square().sum(), *moves) == [True, True, True]


def test_progressive_steps_start_at_the_shell_and_add_up():
    built = build_network(config(progressive_coords=True), SIZE, seed=0)
    with torch.no_grad():
        clouds = built.forward_stages(images())
    assert all(torch.equal(cloud, built.shell.expand_as(cloud)) for cloud in clouds[:3])
    moved = network(progressive_coords=True)
    with torch.no_grad():
        first, second, *_ = moved.forward_stages(images())
    assert (first - moved.shell).abs().max() <= 1  # a tanh per stage
    assert not torch.equal(first, second)


def test_offsets_are_in_units_of_the_shells_spacing():
    built = network()
    spacing = mean_spacing(built.shell[0], built.shell_index[0])
    assert built.shape_matching.spacing == spacing
    offsets = relative_offsets(built.shell, built.shell_index, spacing)
    assert torch.equal(offsets, built.shell_offsets)
    lengths = offsets.norm(dim=-1)
    assert lengths[lengths > 0].mean().item() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(("size", "side"), [(137, 5), (224, 7), (128, 4)])
@pytest.mark.parametrize("features", ["layer3", "layer4"])
def test_resnet_takes_native_and_resized_inputs(features, size: int, side: int):
    fields = {"backbone": "resnet50", "image_features": features}
    with torch.device("meta"):
        built = Network(config(**fields), size).to("meta")
        tokens = built.image_encoder(torch.empty(1, 3, size, size), lambda _, found: found)
    across = side if features == "layer4" else (size + 15) // 16
    assert tokens.shape == (1, across**2, 32)


def test_a_frozen_encoder_still_passes_gradients_to_its_projection():
    built = network(backbone="resnet50", freeze_backbone=True).train()
    built(images()).square().sum().backward()
    assert all(p.grad is None for p in built.image_encoder.trunk.parameters())
    assert built.image_encoder.projection.weight.grad.any()


@pytest.mark.parametrize(
    ("heads", "width"), [(1, 32), (2, 32), (4, 32), (8, 32), (16, 32)]
)  # fmt: skip
def test_every_number_of_heads_gives_the_same_parameters_other_clouds(heads: int, width: int):
    built = network(num_heads=heads, width=width, num_decoder_heads=4)
    sizes = [parameter.numel() for parameter in built.parameters()]
    reference = network(num_heads=4, num_decoder_heads=4)
    assert sizes == [parameter.numel() for parameter in reference.parameters()]
    with torch.no_grad():
        assert torch.equal(built(images()), reference(images())) == (heads == 4)


def test_the_shell_has_the_radius_asked_for():
    built = build_network(config(shell_radius=0.8), SIZE, seed=0)
    torch.testing.assert_close(built.shell.norm(dim=-1), torch.full((1, 48), 0.8))
    offsets = build_network(config(), SIZE, seed=0).shell_offsets
    torch.testing.assert_close(built.shell_offsets, offsets, atol=1e-5, rtol=1e-4)


def test_heads_that_do_not_divide_the_width_are_refused_by_name():
    with pytest.raises(ConfigError, match=r"model\.num_heads: got 5"):
        config(num_heads=5)
    with pytest.raises(ConfigError, match=r"model\.graph: got 'coords', which needs"):
        config(graph="coords")


def test_decoder_blocks_follow_each_other():
    one, two = network(num_decoder_blocks=1), network(num_decoder_blocks=2)
    assert len(two.decoder) == len(one.decoder) + 1
    calls: list[int] = []
    for number, block in enumerate(two.decoder[:2]):
        block.register_forward_hook(lambda *_, number=number: calls.append(number))
    with torch.no_grad():
        two(images())
    assert calls == [0, 1]


def test_original_theta_is_in_every_block_and_freezes_for_the_second_phase_only():
    for fields in ({}, {"backbone": "resnet50", "freeze_backbone": True}):
        built = network(theta="point_transformer", **fields).train()
        norms = [module for module in built.modules() if isinstance(module, OffsetNorm)]
        assert len(norms) == 5  # two blocks of the point encoder, three stages
        assert all(norm.training for norm in norms)
        built.freeze_statistics()
        built.train()
        assert not any(norm.training for norm in norms)
        built(images())
        assert all(norm.num_batches_tracked == 0 for norm in norms)
    assert not any(isinstance(module, OffsetNorm) for module in network().modules())


def test_original_theta_learns_the_statistics_of_the_shell():
    """On the shell's graph all batches give the same pairs, so eval ends at train's clouds."""
    built = network(theta="point_transformer").train()
    with torch.no_grad():
        first, other = built(images()), built(images(5)[3:])
        for _ in range(100):
            built(images())
        built.eval()
        torch.testing.assert_close(built(images()), first, atol=1e-2, rtol=0)
        torch.testing.assert_close(built(images(5)[3:]), other, atol=1e-2, rtol=0)


def test_orthogonality_teaches_the_bases_and_nothing_else():
    built = network()
    named = dict(built.named_parameters())
    hit = reached(built.orthogonality(), *named.values())
    assert {name for name, is_hit in zip(named, hit, strict=True) if is_hit} == {
        f"shape_matching.stages.{number}.basis.basis" for number in range(3)
    }


GRAPHS = [
    {}, {"theta": "point_transformer"}, {"graph": "feature"},
    {"graph": "coords", "progressive_coords": True},
]  # fmt: skip


@pytest.mark.parametrize("fields", GRAPHS, ids=str)
def test_the_order_of_neighbors_does_not_matter(fields, monkeypatch: pytest.MonkeyPatch):
    built = network(**fields)
    with torch.no_grad():
        expected = built(images())
        order = torch.tensor([2, 0, 3, 1])
        built.shell_index = built.shell_index[..., order]
        built.shell_offsets = built.shell_offsets[:, :, order]
        monkeypatch.setattr(
            "ss3d.model.shape_matching.neighbors",
            lambda points, k: neighbors(points, k)[..., order],
        )
        torch.testing.assert_close(built(images()), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("fields", GRAPHS, ids=str)
def test_an_image_gets_its_cloud_in_any_company(fields):
    built = network(**fields)
    three = images(3)
    with torch.no_grad():
        together = built(three[[2, 0, 1]])
        alone = torch.cat([built(image[None]) for image in three])
    torch.testing.assert_close(together, alone[[2, 0, 1]], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("source", "is_fused"), [("image", False), ("fused", True)])
def test_with_one_source_of_semantics_the_code_is_linear_in_it(source: str, is_fused: bool):
    module = network(semantic_input=source).semantics
    before, after = torch.randn(2, 32), torch.randn(2, 32)
    read = after if is_fused else before
    expected = read @ module.compress.weight.T + module.compress.bias
    torch.testing.assert_close(module(before, after), expected)
