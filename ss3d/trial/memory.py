"""How a trial that ran out of memory says so: PyTorch has no one error for it."""

from __future__ import annotations

import errno

_WORDS = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "Cannot allocate memory",
    "STATUS_ALLOC_FAILED",
)
"""Of PyTorch's allocators, the system, CUDA and its libraries, in a plain RuntimeError."""


def why_out_of_memory(error: BaseException) -> str:
    """Return what a trial lacked if an error says that memory ran out; empty if it does not.

    Args:
        error: raised while a trial trained or was loaded.
    """
    is_exhausted = (
        isinstance(error, MemoryError)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or (isinstance(error, RuntimeError) and any(words in str(error) for words in _WORDS))
    )
    if not is_exhausted:
        return ""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return (
        f"out of memory: {lines[0]}; give a trial more by [resources], or let the search space "
        "vary less (batch sizes, widths, points)"
    )
