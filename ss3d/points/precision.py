"""Where full fp32 is needed: distances, norms over points, orthogonality."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Turn autocast and TF32 off: ten bits of mantissa are coarser than the distances we compare.

    Inputs that are already in half precision are the caller's to cast.
    """
    can_autocast = torch.amp.is_autocast_available(device.type)
    tf32 = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with torch.autocast(device.type, enabled=False) if can_autocast else nullcontext():
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = tf32
