"""Supervised pretraining on the labeled images (method section 8.2)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch

from ss3d.data.randomness import generator, permutation_index
from ss3d.data.views import mirror, strong_view, weak_view
from ss3d.training.losses import supervised_distance
from ss3d.training.optimizer import Averages, learning_rate, optimizer_step

if TYPE_CHECKING:
    from ss3d.config import PretrainConfig
    from ss3d.data.loader import TrialData
    from ss3d.model.network import Network


def pretrain_epoch(
    network: Network,
    optimizer: torch.optim.AdamW,
    data: TrialData,
    config: PretrainConfig,
    steps: Iterable[int],
) -> dict[str, float]:
    """Train on these steps of the phase and return the means of what was logged.

    The loss is eq. 20, whose weights the paper's text does not give. Every random choice is a
    function of (seed, step), so an epoch can start at any step.

    Raises:
        DivergedError: a loss is not finite.
    """
    network.train()
    averages = Averages()
    for step in steps:
        draws = permutation_index(
            config.seed, step, config.batch_size, len(data.labeled_order), "pretrain"
        )
        random = generator(config.seed, "pretrain", step)
        rgba, target = data.labeled.batch(data.labeled_order[draws], random)
        weak = weak_view(rgba, data.view, random)
        images = strong_view(weak, config.aug_strength, random)
        clouds = network.forward_stages(images)
        distance = supervised_distance(clouds, mirror(target, weak))
        orthogonality = network.orthogonality()
        loss = distance + config.lambda_orth * orthogonality
        factor = learning_rate(step, config.steps)
        norm = optimizer_step(optimizer, network, loss, config.grad_clip, factor)
        averages.add(
            loss=loss,
            loss_sup=distance,
            loss_orth=orthogonality,
            lr=config.lr * factor,
            grad_norm=norm,
            clipped=(norm > config.grad_clip).double(),
        )
    return averages.means()
