"""Which parameters a trial has: those whose conditions hold.

Another parameter keeps the base's value. A condition on one that is itself not active does not
hold.
"""

from __future__ import annotations

import graphlib
from collections.abc import Mapping, Sequence

from ss3d.study.parameter import Parameter, Value, is_same

Combination = Mapping[str, tuple[str, Value]]
"""By path: the key in the file and the value."""


def in_order(parameters: Sequence[Parameter]) -> list[Parameter]:
    """Return the parameters such that each comes after those that it depends on.

    Raises:
        graphlib.CycleError: some depend on each other in a circle, which has their paths.
    """
    by_path = {p.path: p for p in parameters}
    graph = {p.path: [path for path in p.when if path in by_path] for p in parameters}
    return [by_path[path] for path in graphlib.TopologicalSorter(graph).static_order()]


def complete(tried: Combination, parameters: Sequence[Parameter]) -> dict[str, tuple[str, Value]]:
    """Return values of all parameters that are active when some have the values to try.

    Others have the first value with which those to try are active.

    Args:
        tried: values that must be active together.
        parameters: all, arm and replicate among them.

    Returns:
        Empty if those to try are never active together with these values.
    """
    needed = _needed(tried, {p.path: p for p in parameters})
    if needed is None:
        return {}
    held: dict[str, tuple[str, Value]] = {}
    for parameter in in_order(parameters):
        path = parameter.path
        if parameter.is_active({path: value for path, (_, value) in held.items()}):
            first = ("", needed[path][0]) if path in needed else next(parameter.range.probes())
            held[path] = tried.get(path, first)
    return held


def _needed(
    tried: Combination, by_path: Mapping[str, Parameter]
) -> dict[str, tuple[Value, ...]] | None:
    """Return the values that parameters may have such that those to try are active."""
    needed: dict[str, tuple[Value, ...]] = {path: (value,) for path, (_, value) in tried.items()}
    open_paths = list(tried)
    while open_paths:
        for path, wanted in by_path[open_paths.pop()].when.items():
            before = needed.get(path, wanted)
            needed[path] = tuple(v for v in before if any(is_same(v, w) for w in wanted))
            if not needed[path]:
                return None
            open_paths.append(path)
    return needed
