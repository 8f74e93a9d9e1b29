"""How many pretrained states and controls a search space can need."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ss3d.config import P1, P2, TrialConfig, canonical_json, field_marks
from ss3d.store.layout import SharedKind
from ss3d.study.parameter import Choices, IntRange
from ss3d.study.space import Space

_FIELDS: dict[SharedKind, Callable[[TrialConfig], dict[str, Any]]] = {
    "pretrain": TrialConfig.pretrain_fields,
    "control": lambda config: config.control().flatten(),
}
"""What decides each, of a trial's configuration."""


def count_shared(space: Space, kind: SharedKind) -> int | None:
    """Return the number of distinct pretrained states or controls at most.

    None if a continuous parameter enters: then every trial needs its own.
    """
    if kind == "control" and not space.controls:
        return 0
    ranges = {p.path: p.range for p in space.parameters}
    sizes = [_size(ranges[path]) for path in _entering(space, kind)]
    variants = {canonical_json(fields) for fields in _variants(space, kind)}
    if None in sizes and variants:
        return None
    return len(variants) * math.prod(size for size in sizes if size is not None)


def keyed_ranges(space: Space, kind: SharedKind) -> list[str]:
    """Return the continuous parameters that make every trial need its own."""
    if count_shared(space, kind) is not None:
        return []
    ranges = {p.path: p.range for p in space.parameters}
    return [path for path in _entering(space, kind) if _size(ranges[path]) is None]


def _entering(space: Space, kind: SharedKind) -> list[str]:
    """Return the parameters that enter the key, but for arm and replicate."""
    marks = dict(field_marks())
    entering = (P1,) if kind == "pretrain" else (P1, P2)
    return [p.path for p in space.parameters if marks.get(p.path) in entering]


def _variants(space: Space, kind: SharedKind) -> list[dict[str, Any]]:
    """Return what each arm and replicate brings into the key, the parameters left as in the base.

    A trial that ends with its pretrained state has no control.
    """
    marks = dict(field_marks())
    chosen = [{p: v for p, v in s.items() if p not in marks} for s in space.strata]
    configs = [space.configure(values) for values in chosen]
    return [
        _FIELDS[kind](config) for config in configs if kind == "pretrain" or config.semi.enabled
    ]


def _size(of: object) -> int | None:
    """Return the number of values of a range; None if there is no end of them."""
    match of:
        case Choices(choices):
            return len(choices)
        case IntRange(low, high, _, step):
            return (high - low) // (step or 1) + 1
        case _:
            return None
