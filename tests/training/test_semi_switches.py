"""Every switch of the teacher-student phase acts on its own term and on nothing else."""

import copy

import pytest
import torch

from ss3d.data.loader import load_data
from ss3d.model.network import build_network
from ss3d.training.losses import pseudo_label_distance
from ss3d.training.optimizer import make_optimizer
from ss3d.training.semi import draw_batch, semi_epoch, semi_losses

TERMS = ("loss_sup", "loss_strong", "loss_fp")


def moved(network):
    random = torch.Generator().manual_seed(3)
    with torch.no_grad():  # away from the shell, where the image has no effect yet
        for parameter in network.parameters():
            parameter.add_(0.03 * torch.randn(parameter.shape, generator=random))
    return network


@pytest.fixture(scope="module")
def networks(quick_config):
    student = moved(build_network(quick_config.model, quick_config.data.image_size, seed=0))
    return student, copy.deepcopy(student).requires_grad_(False)


def terms_of(networks, config, data, step=5, **changes):
    semi = config.override({f"semi.{name}": value for name, value in changes.items()}).semi
    return semi_losses(*networks, draw_batch(data, semi, step), semi, step)


def gradients(student, loss):
    found = torch.autograd.grad(loss, list(student.parameters()), allow_unused=True)
    return torch.cat([g.flatten() for g in found if g is not None])


def changed(before, after):
    return {name for name in TERMS if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize(
    ("changes", "terms"),
    [
        ({"fp_magnitude": 0.6}, {"loss_fp"}),
        ({"fp_mode": "noise"}, {"loss_fp"}),
        ({"fp_where": "tokens"}, {"loss_fp"}),
        ({"fp_where": "points"}, {"loss_fp"}),
        ({"fp_view": "strong"}, {"loss_fp"}),
        ({"aug_strength": 0.1}, {"loss_strong"}),
        ({"label_aug_strength": 0.9}, {"loss_sup"}),
        ({"unsup_eps": 0.1}, {"loss_strong", "loss_fp"}),
        ({"unsup_distance": "cd+idx"}, {"loss_strong", "loss_fp"}),
        ({"conf_weight": 0.02}, {"loss_strong", "loss_fp"}),
        ({"ramp": 0.9}, set()),
        ({"lambda_u": 0.5}, set()),
        ({"w_fp": 0.1}, set()),
        ({"lambda_orth": 1.0}, set()),
        ({"ema_decay": 0.5}, set()),
        ({"ema_warmup": 10}, set()),
    ],
    ids=lambda value: str(value if isinstance(value, dict) else sorted(value)),
)
def test_a_switch_changes_its_own_terms_only(changes, terms, networks, quick_config, tiny_data):
    plain = terms_of(networks, quick_config, tiny_data)
    switched = terms_of(networks, quick_config, tiny_data, **changes)
    assert changed(plain, switched) == terms


def test_at_the_start_of_the_ramp_only_labels_teach(networks, quick_config, tiny_data):
    terms = terms_of(networks, quick_config, tiny_data, step=0, ramp=0.5)
    assert terms["ramp"] == 0
    labels = (terms["loss_sup"] + quick_config.semi.lambda_orth * terms["loss_orth"]) / 2
    torch.testing.assert_close(terms["loss"], labels)
    student = networks[0]
    of_start = gradients(student, terms["loss"])
    control = terms_of(networks, quick_config, tiny_data, step=0, lambda_u=0.0)
    torch.testing.assert_close(of_start, gradients(student, control["loss"]))
    full = terms_of(networks, quick_config, tiny_data, step=0, ramp=0.0)
    assert not torch.allclose(of_start, gradients(student, full["loss"]))


@pytest.mark.parametrize("where", ["image_map", "tokens", "points"])
def test_the_perturbed_branch_teaches_what_lies_before_the_perturbation(
    where, networks, quick_config, tiny_data
):
    terms = terms_of(networks, quick_config, tiny_data, fp_where=where)
    first = next(networks[0].image_encoder.trunk.parameters())
    (gradient,) = torch.autograd.grad(terms["loss_fp"], first)
    assert gradient.norm() > 0


def test_the_index_term_pulls_points_to_their_own_place(networks):
    teacher = torch.randn(1, 32, 3, generator=torch.Generator().manual_seed(0))
    student = teacher[:, torch.randperm(32)].clone().requires_grad_()
    for kind, moves in (("cd", False), ("cd+idx", True)):
        (gradient,) = torch.autograd.grad(
            pseudo_label_distance(student, teacher, 0.0, kind).sum(), student
        )
        assert bool(gradient.any()) == moves


@pytest.fixture(scope="module")
def resnet(quick_config, data_folder, tmp_path_factory):
    """A ResNet-50 trial of two steps with its data."""
    from ss3d.data.dataset import open_dataset
    from ss3d.store.directory import DirectoryStore

    config = quick_config.override(
        {
            "model.backbone": "resnet50",
            "semi.labeled_batch": 1,
            "semi.unlabeled_batch": 1,
            "semi.lr": 1e-3,
        }
    )
    cache = tmp_path_factory.mktemp("resnet-cache")
    return config, load_data(open_dataset(DirectoryStore(data_folder)), config.data, cache)


def two_steps(config, data):
    student = build_network(config.model, config.data.image_size, seed=0)
    teacher = copy.deepcopy(student).requires_grad_(False)
    semi = config.semi
    optimizer = make_optimizer(
        student.parameter_groups(semi.lr, semi.backbone_lr_mult, semi.weight_decay)
    )
    before = {name: value.clone() for name, value in student.state_dict().items()}
    semi_epoch(student, teacher, optimizer, data, semi, range(2))
    return before, student, teacher


@pytest.mark.parametrize("mode", ["frozen", "train"])
def test_batch_norm_statistics_move_only_when_asked_and_the_teacher_follows(mode, resnet):
    config, data = resnet
    config = config.override({"semi.bn_mode": mode, "semi.ema_decay": 0.5})
    before, student, teacher = two_steps(config, data)
    name = "image_encoder.trunk.bn1.running_mean"
    assert torch.equal(student.state_dict()[name], before[name]) == (mode == "frozen")
    assert torch.equal(teacher.state_dict()[name], before[name]) == (mode == "frozen")
    assert not torch.equal(student.image_encoder.trunk.bn1.weight, before[name.replace(
        "running_mean", "weight")])  # fmt: skip


def test_a_frozen_encoder_is_the_same_after_the_phase(resnet):
    config, data = resnet
    before, student, _ = two_steps(config.override({"model.freeze_backbone": True}), data)
    after = student.state_dict()
    trunk = [name for name in before if name.startswith("image_encoder.trunk.")]
    assert all(torch.equal(before[name], after[name]) for name in trunk)
    others = ("image_encoder.projection.weight", "decoder.0.feed_forward.0.weight")
    assert all(not torch.equal(before[name], after[name]) for name in others)


def test_a_decay_of_zero_copies_the_student_after_every_step(quick_config, tiny_data):
    config = quick_config.override({"semi.ema_decay": 0.0})
    before, student, teacher = two_steps(config, tiny_data)
    for name, value in student.state_dict().items():
        assert torch.equal(teacher.state_dict()[name], value), name
    assert any(not torch.equal(before[n], v) for n, v in student.state_dict().items())
