"""Eqs. 21 and 22 of one step, term by term, from the clouds of both networks."""

import copy

import pytest
import torch

from ss3d.model.network import build_network
from ss3d.points.chamfer import chamfer_l1
from ss3d.training.optimizer import make_optimizer
from ss3d.training.semi import draw_batch, ramp_at, semi_epoch, semi_losses

STEP = 2


def moved(network, seed):
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.03 * torch.randn(parameter.shape, generator=random))
    return network


def networks_of(config):
    """Two different networks; the teacher could learn, too, if a gradient reached it."""
    student = moved(build_network(config.model, config.data.image_size, seed=0), 3)
    student.freeze_statistics()
    return student, moved(copy.deepcopy(student), 4).eval()


def terms_of(config, data):
    student, teacher = networks_of(config)
    batch = draw_batch(data, config.semi, STEP)
    return student, teacher, batch, semi_losses(student, teacher, batch, config.semi, STEP)


def distances_to_the_label(student, teacher, views, semi):
    """The terms of both strong views and of the perturbed branch, each a scalar."""
    label = teacher(views.weak.images)
    weight = torch.ones(len(label))
    if semi.conf_weight:
        weight = torch.exp(-chamfer_l1(label, teacher(views.second_weak)) / semi.conf_weight)
        assert weight.min() < 0.99
    for images in (*views.strong, views.perturbed):
        cloud = student(images)
        distance = chamfer_l1(cloud, label, semi.unsup_eps)
        if semi.unsup_distance == "cd+idx":
            lengths = ((cloud - label).square().sum(-1) + semi.unsup_eps**2).sqrt()
            distance = distance + 0.1 * (lengths - semi.unsup_eps).mean(-1)
        yield (weight * distance).mean()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"semi.unsup_eps": 0.0},
        {"semi.lambda_orth": 7.0},
        {"semi.unsup_distance": "cd+idx"},
        {"semi.conf_weight": 0.05},
        {"semi.fp_view": "strong", "semi.w_fp": 0.2},
        {"semi.lambda_u": 3.0, "semi.ramp": 1.0},
        {"model.progressive_coords": True},
        {"model.theta": "point_transformer"},
    ],
    ids=str,
)
def test_every_term_is_that_of_its_own_forward(changes, quick_config, tiny_data):
    """Without feature perturbation each branch is a plain forward of its images."""
    config = quick_config.override({"semi.fp_magnitude": 0.0, **changes})
    semi = config.semi
    student, teacher, batch, terms = terms_of(config, tiny_data)
    with torch.no_grad():
        first, second, perturbed = distances_to_the_label(student, teacher, batch.unlabeled, semi)
        clouds = student.forward_stages(batch.labeled)
        distances = [chamfer_l1(cloud, batch.target).mean() for cloud in clouds]
        orthogonality = student.orthogonality()
    supervised = distances[-1] + 0.1 * sum(distances[:-1])
    unsupervised = (1 - semi.w_fp) / 2 * (first + second) + semi.w_fp * perturbed
    labeled = supervised + semi.lambda_orth * orthogonality
    factor = ramp_at(STEP, semi.steps, semi.ramp) * semi.lambda_u
    expected = {
        "loss_fp": perturbed,
        "loss_strong": (first + second) / 2,
        "loss_sup": supervised,
        "loss_unsup": unsupervised,
        "loss": (labeled + factor * unsupervised) / 2,
    }
    for name, value in expected.items():
        torch.testing.assert_close(terms[name].detach(), value, rtol=1e-4, atol=1e-6, msg=name)


def test_no_gradient_reaches_the_teacher_not_even_through_the_confidence(quick_config, tiny_data):
    config = quick_config.override({"semi.conf_weight": 0.05, "semi.unsup_distance": "cd+idx"})
    student, teacher, _, terms = terms_of(config, tiny_data)
    assert all(parameter.requires_grad for parameter in teacher.parameters())
    terms["loss"].backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert any(parameter.grad.any() for parameter in student.parameters())


def epoch_of(config, data):
    student, teacher = networks_of(config)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    semi = config.semi
    optimizer = make_optimizer(student.parameter_groups(semi.lr, 1.0, semi.weight_decay))
    logged = semi_epoch(student, teacher.requires_grad_(False), optimizer, data, semi, [0])
    return student, before, teacher, logged


@pytest.mark.parametrize(("warmup", "decay"), [(0, 0.9), (4, 0.75)])
def test_the_warm_up_decides_the_decay_of_the_step(warmup, decay, quick_config, tiny_data):
    config = quick_config.override({"semi.ema_decay": 0.9, "semi.ema_warmup": warmup})
    student, before, teacher, logged = epoch_of(config, tiny_data)
    assert logged["train/ema_decay"] == pytest.approx(decay)
    for name, value in student.state_dict().items():
        expected = decay * before[name] + (1 - decay) * value
        torch.testing.assert_close(teacher.state_dict()[name], expected, msg=name)


def test_the_original_theta_keeps_the_statistics_of_pretraining(quick_config, tiny_data):
    config = quick_config.override({"model.theta": "point_transformer", "semi.ema_decay": 0.5})
    student, before, teacher, _ = epoch_of(config, tiny_data)
    names = [name for name in before if "running" in name or "num_batches" in name]
    assert len(names) == 15
    for network in (student, teacher):
        assert all(torch.equal(network.state_dict()[name], before[name]) for name in names)
