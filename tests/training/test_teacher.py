"""The EMA teacher against its formula."""

import pytest
import torch
from torch import nn

from ss3d.training.teacher import decay_at, relative_distance, update_teacher


def pair() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    nets = [nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)) for _ in range(2)]
    nets[1](torch.randn(8, 3))  # moves running statistics and the integer counter
    return nets[0], nets[1]


def test_the_average_is_the_formula_for_parameters_and_floating_buffers():
    teacher, student = pair()
    before = {k: v.clone() for k, v in teacher.state_dict().items()}
    update_teacher(teacher, student, 0.9)
    for name, new in student.state_dict().items():
        if new.is_floating_point():
            expected = 0.9 * before[name] + 0.1 * new
            torch.testing.assert_close(teacher.state_dict()[name], expected)
    assert teacher[1].num_batches_tracked == student[1].num_batches_tracked == 1


def test_decay_one_keeps_and_decay_zero_copies():
    teacher, student = pair()
    before = teacher[0].weight.clone()
    update_teacher(teacher, student, 1.0)
    assert torch.equal(teacher[0].weight, before)
    update_teacher(teacher, student, 0.0)
    assert torch.equal(teacher[0].weight, student[0].weight)
    assert relative_distance(teacher, student) == 0


def test_relative_distance_of_a_scaled_copy():
    teacher, student = pair()
    with torch.no_grad():
        for old, new in zip(teacher.parameters(), student.parameters(), strict=True):
            old.copy_(1.5 * new)
    assert relative_distance(teacher, student).item() == pytest.approx(0.5)


def test_warmup_starts_at_its_offset_and_ends_at_the_decay():
    assert decay_at(0, 0.999, 0) == 0.999
    assert decay_at(0, 0.999, 100) == pytest.approx(0.99)
    assert decay_at(100_000, 0.999, 100) == 0.999
