"""One teacher-student step: where gradients flow, what the branches see."""

import copy

import pytest
import torch

from ss3d.config import UNSUP, field_marks
from ss3d.model.network import build_network
from ss3d.training.losses import supervised_distance
from ss3d.training.semi import draw_batch, ramp_at, semi_epoch, semi_losses
from ss3d.trial.state import digest, semi_optimizer


@pytest.fixture(scope="module")
def networks(quick_config):
    student = build_network(quick_config.model, quick_config.data.image_size, seed=0)
    with torch.no_grad():  # away from the shell, as after pretraining
        for parameter in student.decoder.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape))
    return student, copy.deepcopy(student).requires_grad_(False)


def losses(networks, config, data, step=5, **changes):
    semi = config.override({f"semi.{k}": v for k, v in changes.items()}).semi
    student, teacher = networks
    student.zero_grad(set_to_none=True)
    batch = draw_batch(data, semi, step)
    return semi_losses(student, teacher, batch, semi, step), student, batch


def grad_norm(student) -> float:
    return torch.stack([p.grad.norm() for p in student.parameters() if p.grad is not None]).norm()


@pytest.mark.parametrize("term", ["loss_fp", "loss_strong", "loss_sup"])
def test_every_branch_has_a_gradient_into_the_student(term, networks, quick_config, tiny_data):
    terms, student, _ = losses(networks, quick_config, tiny_data)
    terms[term].backward()
    assert grad_norm(student) > 0
    assert all(p.grad is None for p in networks[1].parameters())


def test_the_total_is_half_the_sum_of_both_losses(networks, quick_config, tiny_data):
    terms, _, _ = losses(networks, quick_config, tiny_data, lambda_u=2.0, ramp=0.0, w_fp=0.25)
    unsup = 0.75 * terms["loss_strong"] + 0.25 * terms["loss_fp"]
    sup = terms["loss_sup"] + quick_config.semi.lambda_orth * terms["loss_orth"]
    torch.testing.assert_close(terms["loss_unsup"], unsup)
    torch.testing.assert_close(terms["loss"], 0.5 * (sup + 2.0 * unsup))


def test_student_equal_to_teacher_without_perturbation_has_no_unsupervised_gradient(
    networks, quick_config, tiny_data
):
    quiet = {"aug_strength": 0.0, "fp_magnitude": 0.0, "ramp": 0.0}
    norms = {}
    for term in ("loss_unsup", "loss_sup"):
        terms, student, _ = losses(networks, quick_config, tiny_data, **quiet)
        terms[term].backward()
        norms[term] = grad_norm(student)
    assert norms["loss_unsup"] < 1e-3 * norms["loss_sup"]


def test_perturbed_branch_sees_the_weak_image_and_strong_views_differ(quick_config, tiny_data):
    views = draw_batch(tiny_data, quick_config.semi, 0).unlabeled
    assert torch.equal(views.perturbed, views.weak.images)
    assert not torch.equal(views.strong[0], views.strong[1])
    strong = quick_config.override({"semi.fp_view": "strong"}).semi
    again = draw_batch(tiny_data, strong, 0).unlabeled
    assert not torch.equal(again.perturbed, views.weak.images)


def test_a_step_is_a_function_of_its_number(quick_config, tiny_data):
    first, again = (draw_batch(tiny_data, quick_config.semi, 3) for _ in range(2))
    assert torch.equal(first.labeled, again.labeled)
    assert torch.equal(first.unlabeled.strong[1], again.unlabeled.strong[1])
    assert torch.equal(first.target, again.target)
    other = draw_batch(tiny_data, quick_config.semi, 4)
    assert not torch.equal(first.labeled, other.labeled)


def test_confidence_weight_lowers_the_unsupervised_loss(networks, quick_config, tiny_data):
    plain, _, _ = losses(networks, quick_config, tiny_data)
    weighted, _, batch = losses(networks, quick_config, tiny_data, conf_weight=0.02)
    assert batch.unlabeled.second_weak is not None
    assert weighted["loss_unsup"] < plain["loss_unsup"]


def test_ramp_rises_linearly():
    assert [ramp_at(s, 100, 0.1) for s in (0, 5, 10, 50)] == [0.0, 0.5, 1.0, 1.0]
    assert ramp_at(0, 100, 0.0) == 1.0


OTHERS = {
    "unlabeled_batch": 3,
    "ema_decay": 0.5,
    "ema_warmup": 7,
    "aug_strength": 1.0,
    "fp_magnitude": 0.7,
    "fp_mode": "noise",
    "fp_view": "strong",
    "fp_where": "points",
    "w_fp": 0.1,
    "ramp": 0.9,
    "unsup_eps": 0.5,
    "unsup_distance": "cd+idx",
    "conf_weight": 0.3,
}
"""Another value of each field that acts through unlabeled images only, but for lambda_u."""


def test_the_table_of_other_values_has_every_field_of_the_unsupervised_loss(quick_config):
    fields = {p.removeprefix("semi.") for p, mark in field_marks() if mark == UNSUP}
    assert fields == {*OTHERS, "lambda_u"}
    assert all(getattr(quick_config.semi, field) != value for field, value in OTHERS.items())


@pytest.mark.parametrize("field", OTHERS)
def test_a_control_trains_alike_whatever_acts_on_unlabeled_images(field, quick_config, tiny_data):
    control = quick_config.override({"semi.lambda_u": 0.0})
    changed = control.override({f"semi.{field}": OTHERS[field]})
    assert train(control, tiny_data) == train(changed, tiny_data)
    assert changed.control() == control.control() == quick_config.control()


@pytest.mark.parametrize("field", [f for f in OTHERS if f not in ("ema_decay", "ema_warmup")])
def test_a_trial_does_not(field, quick_config, tiny_data):
    config = quick_config.override({"semi.lambda_u": 1.0, "semi.ramp": 0.0})
    changed = config.override({f"semi.{field}": OTHERS[field]})
    assert train(config, tiny_data) != train(changed, tiny_data)


def test_a_control_follows_the_labeled_half_of_the_loss(networks, quick_config, tiny_data):
    terms, student, batch = losses(networks, quick_config, tiny_data, lambda_u=0.0)
    assert batch.unlabeled is None
    sup = supervised_distance(student.forward_stages(batch.labeled), batch.target)
    orth = quick_config.semi.lambda_orth * student.orthogonality()
    torch.testing.assert_close(terms["loss"], 0.5 * (sup + orth))
    assert set(terms) == {"loss", "loss_sup", "loss_orth"}


def train(config, data) -> str:
    """Return the digest of a student after two steps."""
    student = build_network(config.model, config.data.image_size, seed=0)
    teacher = copy.deepcopy(student).requires_grad_(False)
    with torch.no_grad():
        for parameter in teacher.decoder.parameters():
            parameter.add_(0.02)
    semi_epoch(student, teacher, semi_optimizer(config, student), data, config.semi, range(1, 3))
    return digest(student)
