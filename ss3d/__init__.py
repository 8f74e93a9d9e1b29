"""Distributed hyperparameter search for SS3D: one image in, a cloud of 1024 points out.

In Python: `load_study(name).trials()` is a table, `load_model(uri)(images)` gives clouds.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"
__all__ = ["load_model", "load_study"]


def __getattr__(name: str) -> Any:
    """Return a function of the Python API, whose imports wait until it is asked for."""
    if name in __all__:
        return getattr(importlib.import_module("ss3d.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
