"""How many pretrained states a search space can need."""

from __future__ import annotations

import math

from ss3d.config import P1, field_marks
from ss3d.study.parameter import Choices, IntRange
from ss3d.study.space import Space


def count_pretrains(space: Space) -> int | None:
    """Return the number of distinct pretrained states; None if a continuous parameter enters."""
    marks = dict(field_marks())
    sizes = [_size(p.range) for p in space.parameters if marks[p.path] == P1]
    return None if None in sizes else math.prod(size for size in sizes if size is not None)


def keyed_ranges(space: Space) -> list[str]:
    """Return the continuous parameters that enter the pretrain key."""
    marks = dict(field_marks())
    return [p.path for p in space.parameters if marks[p.path] == P1 and _size(p.range) is None]


def _size(of: object) -> int | None:
    """Return the number of values of a range; None if there is no end of them."""
    match of:
        case Choices(choices):
            return len(choices)
        case IntRange(low, high, _, step):
            return (high - low) // (step or 1) + 1
        case _:
            return None
