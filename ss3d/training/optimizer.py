"""AdamW with a schedule that is a function of the step alone, so that nothing needs restoring."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ss3d.errors import DivergedError

WARMUP = 0.03
"""Fraction of a phase in which the learning rate rises linearly."""
FLOOR = 0.01
"""Last learning rate as a fraction of the peak."""


def make_optimizer(groups: list[dict[str, Any]]) -> torch.optim.AdamW:
    """Return a fused AdamW; each group's `lr` is kept as its peak."""
    for group in groups:
        group["peak_lr"] = group["lr"]
    return torch.optim.AdamW(groups, fused=True)


def learning_rate(step: int, steps: int) -> float:
    """Return the factor on the peak learning rate: linear warm-up, then cosine to `FLOOR`."""
    warmup = max(1, round(WARMUP * steps))
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * progress))


def optimizer_step(
    optimizer: torch.optim.AdamW, network: nn.Module, loss: Tensor, clip: float, factor: float
) -> Tensor:
    """Do one update and return the gradient norm before clipping, a scalar.

    Args:
        optimizer: of the network's parameters.
        network: what is trained.
        loss: scalar.
        clip: largest gradient norm.
        factor: on each group's peak learning rate, from `learning_rate`.
    """
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * factor
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(network.parameters(), clip)
    optimizer.step()
    return norm


class Averages:
    """Means of scalars over an epoch, kept on the device: one synchronisation at the end."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    def add(self, **values: Tensor | float) -> None:
        """Add one step's scalars."""
        self._count += 1
        for name, value in values.items():
            term = torch.as_tensor(value).detach().double()
            self._sums[name] = self._sums[name] + term if name in self._sums else term

    def means(self) -> dict[str, float]:
        """Return the means as `train/<name>`.

        Raises:
            DivergedError: one is not finite.
        """
        means = {f"train/{name}": (s / self._count).item() for name, s in self._sums.items()}
        for name, value in means.items():
            if not math.isfinite(value):
                raise DivergedError(
                    f"{name} is {value}; lower the learning rate or the augmentation strength"
                )
        return means
