"""One teacher-student step: where gradients flow, what the branches see."""

import copy

import pytest
import torch

from ss3d.model.network import build_network
from ss3d.training.semi import draw_batch, ramp_at, semi_losses


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
    batch = draw_batch(tiny_data, quick_config.semi, 0)
    assert torch.equal(batch.perturbed, batch.weak.images)
    assert not torch.equal(batch.strong[0], batch.strong[1])
    strong = quick_config.override({"semi.fp_view": "strong"}).semi
    assert not torch.equal(draw_batch(tiny_data, strong, 0).perturbed, batch.weak.images)


def test_a_step_is_a_function_of_its_number(quick_config, tiny_data):
    first, again = (draw_batch(tiny_data, quick_config.semi, 3) for _ in range(2))
    assert torch.equal(first.labeled, again.labeled)
    assert torch.equal(first.strong[1], again.strong[1])
    assert torch.equal(first.target, again.target)
    other = draw_batch(tiny_data, quick_config.semi, 4)
    assert not torch.equal(first.labeled, other.labeled)


def test_confidence_weight_lowers_the_unsupervised_loss(networks, quick_config, tiny_data):
    plain, _, _ = losses(networks, quick_config, tiny_data)
    weighted, _, batch = losses(networks, quick_config, tiny_data, conf_weight=0.02)
    assert batch.second_weak is not None
    assert weighted["loss_unsup"] < plain["loss_unsup"]


def test_ramp_rises_linearly():
    assert [ramp_at(s, 100, 0.1) for s in (0, 5, 10, 50)] == [0.0, 0.5, 1.0, 1.0]
    assert ramp_at(0, 100, 0.0) == 1.0
