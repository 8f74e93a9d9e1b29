"""Which errors say that memory ran out, word by word."""

from __future__ import annotations

import errno
import os

import pytest

from ss3d.errors import ServiceError
from ss3d.trial.memory import why_out_of_memory

_AT_ONCE = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes."


@pytest.mark.parametrize(
    ("error", "lacked"),
    [
        (RuntimeError(f"{_AT_ONCE} Error code 12\nC++ trace"), f"{_AT_ONCE} Error code 12"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), "CUDA error: CUBLAS"),
        (RuntimeError("unable to mmap 9 bytes from file: Cannot allocate memory (12)"), "unable"),
        (MemoryError(), "MemoryError"),
        (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), "[Errno 12] Cannot allocate memory"),
    ],
)
def test_what_lacks_memory_says_so_in_one_line(error: Exception, lacked: str) -> None:
    told = why_out_of_memory(error)
    assert told.startswith(f"out of memory: {lacked}")
    assert "\n" not in told


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: device-side assert triggered"),
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        ServiceError("the store's server is out of memory"),
    ],
)
def test_other_ends_are_not_for_lack_of_memory(error: Exception) -> None:
    assert why_out_of_memory(error) == ""
