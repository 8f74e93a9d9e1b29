"""How much of a GPU's memory one of the processes that share it may take."""

from __future__ import annotations

import math

import torch

_CONTEXT_BYTES = 768 * 2**20
"""What CUDA itself takes of the device for each process, beside PyTorch's allocator."""

_HEADROOM = 1.1
"""Steps that were not measured may need a little more."""


def memory_fraction(gpus: float, device_bytes: int) -> float | None:
    """Return the share of a GPU's memory that PyTorch may allocate; None for all of it.

    The shares of all processes and what CUDA takes for each fit into the device together.

    Args:
        gpus: the share of the GPU, of its memory as of its time; 1 and more is no share.
        device_bytes: memory of the GPU.
    """
    if gpus >= 1:
        return None
    return max(gpus / 2, gpus - _CONTEXT_BYTES / device_bytes)


def sharing_trials(peak_bytes: int, device_bytes: int) -> int:
    """Return how many trials a GPU has memory for, at least one.

    Args:
        peak_bytes: that PyTorch had reserved at most in one trial.
        device_bytes: memory of the GPU.
    """
    return max(1, int(device_bytes // (_HEADROOM * peak_bytes + _CONTEXT_BYTES)))


def limit_memory(device: torch.device, gpus: float) -> None:
    """Let this process not take a neighbor's share of a GPU: its own trial fails instead.

    Args:
        device: of the process; nothing is done on the CPU.
        gpus: its share.
    """
    if device.type != "cuda":
        return
    fraction = memory_fraction(gpus, torch.cuda.get_device_properties(device).total_memory)
    if fraction is not None:
        torch.cuda.set_per_process_memory_fraction(fraction, torch.cuda.current_device())


def rounded_share(count: int) -> float:
    """Return 1 / count rounded down to four digits, which is what Ray counts in."""
    return math.floor(10_000 / count) / 10_000
