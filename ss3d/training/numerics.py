"""What decides the last bits of a result: threads and deterministic kernels."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from typing import TYPE_CHECKING

import torch
from torch.utils import deterministic

if TYPE_CHECKING:
    from ss3d.config import NumericsConfig


def apply_numerics(config: NumericsConfig) -> None:
    """Set this process's threads and kernels: weights differ for 1, 2 and 4 threads."""
    keep_freed_memory()
    torch.set_num_threads(config.threads)
    if config.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(config.deterministic)
    # Filling every new tensor with NaN would find reads of memory that nothing wrote; a seventh
    # of a CPU step went into it.
    deterministic.fill_uninitialized_memory = False  # pyrefly: ignore[missing-attribute]
    torch.backends.cudnn.benchmark = not config.deterministic
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


@functools.cache
def keep_freed_memory() -> None:
    """Have glibc reuse large blocks: giving each back costs thousands of page faults a step."""
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc has it, musl has not
    if mallopt is not None:
        trim_threshold, mmap_max, largest_int = -1, -4, 2**31 - 1
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, largest_int)
