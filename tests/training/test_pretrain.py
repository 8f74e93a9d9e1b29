"""Supervised pretraining: its loss is eq. 20 with the configured weights and augmentation."""

import copy

import pytest
import torch

from ss3d.data.randomness import generator, permutation_index
from ss3d.data.views import mirror, strong_view, weak_view
from ss3d.model.network import build_network
from ss3d.points.chamfer import chamfer_l1
from ss3d.training.optimizer import make_optimizer
from ss3d.training.pretrain import pretrain_epoch


def one_step(config, data, step=0):
    """The logged values of one step, the network before it and the network after it."""
    network = build_network(config.model, config.data.image_size, seed=0)
    random = torch.Generator().manual_seed(3)
    with torch.no_grad():  # away from the shell, and from an orthogonal basis
        for parameter in network.parameters():
            parameter.add_(0.03 * torch.randn(parameter.shape, generator=random))
    before = copy.deepcopy(network)
    pretrain = config.pretrain
    optimizer = make_optimizer(network.parameter_groups(pretrain.lr, 1.0, pretrain.weight_decay))
    return pretrain_epoch(network, optimizer, data, pretrain, [step]), before, network


def batch_of(config, data, step=0):
    pretrain = config.pretrain
    draws = permutation_index(
        pretrain.seed, step, pretrain.batch_size, len(data.labeled_order), "pretrain"
    )
    random = generator(pretrain.seed, "pretrain", step)
    rgba, target = data.labeled.batch(data.labeled_order[draws], random)
    weak = weak_view(rgba, data.view, random)
    return strong_view(weak, pretrain.aug_strength, random), mirror(target, weak)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"pretrain.lambda_orth": 7.0},
        {"pretrain.aug_strength": 1.0},
        {"model.progressive_coords": True},
    ],
    ids=str,
)
def test_the_loss_is_the_distance_plus_the_weighted_orthogonality(changes, quick_config, tiny_data):
    config = quick_config.override(changes)
    logged, before, _ = one_step(config, tiny_data)
    images, target = batch_of(config, tiny_data)
    with torch.no_grad():
        clouds = before.forward_stages(images)
        distances = [chamfer_l1(cloud, target).mean().item() for cloud in clouds]
        orthogonality = before.orthogonality().item()
    assert len(distances) == (4 if changes.get("model.progressive_coords") else 1)
    supervised = distances[-1] + 0.1 * sum(distances[:-1])
    assert logged["train/loss_sup"] == pytest.approx(supervised, rel=1e-5)
    assert logged["train/loss_orth"] == pytest.approx(orthogonality, rel=1e-5)
    weight = config.pretrain.lambda_orth
    assert orthogonality > 0
    assert logged["train/loss"] == pytest.approx(supervised + weight * orthogonality, rel=1e-5)


def test_a_step_is_a_function_of_its_number(quick_config, tiny_data):
    logged, _, after = one_step(quick_config, tiny_data, step=3)
    again, _, same = one_step(quick_config, tiny_data, step=3)
    other = one_step(quick_config, tiny_data, step=4)[0]
    assert logged == again != other
    assert all(
        torch.equal(a, b) for a, b in zip(after.parameters(), same.parameters(), strict=True)
    )


def test_gradients_longer_than_the_clip_are_counted(quick_config, tiny_data):
    for clip, clipped in ((1e-6, 1.0), (1e6, 0.0)):
        config = quick_config.override({"pretrain.grad_clip": clip})
        assert one_step(config, tiny_data)[0]["train/clipped"] == clipped
