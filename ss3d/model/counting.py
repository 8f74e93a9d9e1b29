"""Parameters and floating-point operations of a network, per module, without running it."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ss3d.config import ModelConfig
from ss3d.model.network import Network


def count_parameters(network: nn.Module) -> dict[str, int]:
    """Return the number of parameters under `total` and under the name of each child module."""
    children = {name: _size(child) for name, child in network.named_children()}
    return {"total": _size(network), **children}


def count_flops(config: ModelConfig, image_size: int) -> dict[str, int]:
    """Return the operations of one forward pass at batch 1, two per multiply-add.

    Counted on the meta device, where the fused attention is counted too.

    Args:
        config: of the network.
        image_size: side S of the input in pixels.

    Returns:
        Operations under `total` and under the name of each child module.
    """
    network = meta_network(config, image_size)
    counter = FlopCounterMode(display=False, depth=2)
    with counter, torch.no_grad():
        network(torch.empty(1, 3, image_size, image_size, device="meta"))
    of_module = {name: sum(counts.values()) for name, counts in counter.get_flop_counts().items()}
    prefix = type(network).__name__
    children = {name: of_module.get(f"{prefix}.{name}", 0) for name, _ in network.named_children()}
    return {"total": counter.get_total_flops(), **children}


def meta_network(config: ModelConfig, image_size: int) -> Network:
    """Return a network without storage: shapes only."""
    with torch.device("meta"):
        network = Network(config, image_size)
    return network.to("meta")


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
