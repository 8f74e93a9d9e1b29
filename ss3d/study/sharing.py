"""How many pretrained states and controls a search space can need."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ss3d.config import P1, P2, TrialConfig, canonical_json, field_marks
from ss3d.store.layout import SharedKind
from ss3d.study.grid import cells
from ss3d.study.parameter import Parameter, Value
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
    total = 0
    for active in _families(space, kind):
        sizes = [None if (found := p.range.values()) is None else len(found) for p in active]
        if None in sizes:
            return None
        total += math.prod(size for size in sizes if size is not None)
    return total


def keyed_ranges(space: Space, kind: SharedKind) -> list[str]:
    """Return the continuous parameters that make every trial need its own."""
    if count_shared(space, kind) is not None:
        return []
    endless = [p.path for f in _families(space, kind) for p in f if p.range.values() is None]
    return list(dict.fromkeys(endless))


def _families(space: Space, kind: SharedKind) -> list[list[Parameter]]:
    """Return the parameters whose values make the difference, for all that differs otherwise.

    That is what arms and replicates bring into the key, and the values of parameters that others
    depend on: with each of their combinations, other parameters are active.
    """
    marks = dict(field_marks())
    entering = (P1,) if kind == "pretrain" else (P1, P2)
    decisive = {path for p in space.parameters for path in p.when} & marks.keys()
    families = {}
    for variant, factors in _variants(space, kind):
        parents = [p for p in space.parameters if p.path in decisive]
        for chosen in cells(parents, factors):
            held = {**factors, **chosen}
            active = [
                p
                for p in space.parameters
                if marks.get(p.path) in entering and p.path not in decisive and p.is_active(held)
            ]
            own = {path: v for path, v in chosen.items() if marks[path] in entering}
            key = canonical_json([variant, own, [p.path for p in active]])
            families[key] = active
    return list(families.values())


def _variants(space: Space, kind: SharedKind) -> list[tuple[dict[str, Any], dict[str, Value]]]:
    """Return what each arm and replicate brings into the key, and its name and number.

    The parameters are left as in the base. A trial that ends with its pretrained state has no
    control.
    """
    marks = dict(field_marks())
    chosen = [{p: v for p, v in s.items() if p not in marks} for s in space.strata]
    configs = [(space.configure(values), values) for values in chosen]
    return [
        (_FIELDS[kind](config), values)
        for config, values in configs
        if kind == "pretrain" or config.semi.enabled
    ]
