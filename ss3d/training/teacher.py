"""The teacher: an exponential moving average of the student."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def decay_at(step: int, ema_decay: float, warmup: int) -> float:
    """Return the decay of one optimizer step: constant, or min(1 - 1/(t + t0), decay) (ours).

    A warm-up without offset would replace the converged teacher at step 0, so `warmup` is the
    offset t0, and 0 means a constant decay.
    """
    return ema_decay if warmup == 0 else min(1 - 1 / (step + warmup), ema_decay)


@torch.no_grad()
def update_teacher(teacher: nn.Module, student: nn.Module, decay: float) -> None:
    """Move the teacher: decay * teacher + (1 - decay) * student, in one call for all tensors.

    The paper says EMA, without equation or constant (high); parameters and floating buffers are
    averaged, integer buffers copied. (torch's AveragedModel
    copies the student outright at its first update, which would throw away a converged teacher.)
    """
    averaged: tuple[list[Tensor], list[Tensor]] = ([], [])
    for old, new in zip(teacher.state_dict().values(), student.state_dict().values(), strict=True):
        if old.is_floating_point():
            averaged[0].append(old)
            averaged[1].append(new)
        else:
            old.copy_(new)
    torch._foreach_lerp_(averaged[0], averaged[1], 1 - decay)


@torch.no_grad()
def relative_distance(teacher: nn.Module, student: nn.Module) -> Tensor:
    """Return |teacher - student| / |student| over all parameters, a scalar."""
    students: list[Tensor] = list(student.parameters())
    teachers: list[Tensor] = list(teacher.parameters())
    difference = torch._foreach_sub(teachers, students)
    norms = [torch.stack(torch._foreach_norm(ts)).norm() for ts in (list(difference), students)]
    return norms[0] / norms[1]
