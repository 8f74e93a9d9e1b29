"""Reading `when` of a `[parameters."…"]` table: under which values of others it is varied."""

from __future__ import annotations

import graphlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ss3d.config import TrialConfig, unknown_path
from ss3d.errors import ConfigError
from ss3d.study.arms import ARM, flat_values
from ss3d.study.conditions import complete, in_order
from ss3d.study.parameter import FloatRange, Parameter, Value, is_same
from ss3d.study.toml_lines import TomlFile


def read_conditions(
    file: TomlFile,
    parameters: Sequence[Parameter],
    factors: Sequence[Parameter],
    arms: Mapping[str, TrialConfig],
) -> tuple[Parameter, ...]:
    """Return the parameters with their conditions: on each other, and on the arm.

    Args:
        file: for the tables and the lines of errors.
        parameters: without conditions.
        factors: replicate and arm, where there is more than one.
        arms: configurations by name; a condition on what they set becomes one on the arm. The base
            alone, if there are none.

    Raises:
        ConfigError: a condition can never hold, or parameters depend on themselves.
    """
    known = {p.path: p for p in (*parameters, *factors)}
    found = []
    for parameter in parameters:
        table = file.tree["parameters"][parameter.path].get("when", {})
        if not isinstance(table, dict):
            raise _wrong(file, parameter.path, f"got {table!r}, expected {{ path = value }}")
        when: dict[str, tuple[Value, ...]] = {}
        for path, wanted in flat_values(table, skipped="").items():
            values = wanted if isinstance(wanted, list) else [wanted]
            if path in known:
                held = _of_parameter(file, parameter.path, known[path], values)
            else:
                held, path = _of_arms(file, parameter.path, path, values, arms), ARM
            when[path] = tuple(v for v in held if v in when.get(path, held))
        if len(arms) == 1:
            when.pop(ARM, None)
        found.append(replace(parameter, when=when))
    _check_reachable(file, found, factors)
    return tuple(found)


def _of_parameter(
    file: TomlFile, path: str, parent: Parameter, wanted: Sequence[Any]
) -> tuple[Value, ...]:
    """Return the values of a parameter that a condition names."""
    if isinstance(parent.range, FloatRange):
        message = f"depends on {parent.path}, a float; expected a categorical or int parameter"
        raise _wrong(file, path, message)
    held = []
    for value in wanted:
        if (one := parent.range.find(value)) is None:
            message = f"can never hold: {parent.path} is never {value!r}, but {parent.range}"
            raise _wrong(file, path, message)
        held.append(one)
    return tuple(held)


def _of_arms(
    file: TomlFile, path: str, fixed: str, wanted: Sequence[Any], arms: Mapping[str, TrialConfig]
) -> tuple[Value, ...]:
    """Return the arms in which a path that is no parameter has one of the values."""
    values = {name: config.flatten().get(fixed) for name, config in arms.items()}
    if fixed not in next(iter(arms.values())).flatten():
        raise _wrong(file, path, unknown_path(fixed))
    held = tuple(name for name, v in values.items() if any(is_same(v, w) for w in wanted))
    if not held:
        was = ", ".join(dict.fromkeys(map(repr, values.values())))
        raise _wrong(file, path, f"can never hold: {fixed} is no parameter and fixed to {was}")
    return held


def _check_reachable(
    file: TomlFile, parameters: Sequence[Parameter], factors: Sequence[Parameter]
) -> None:
    """Refuse circles, and conditions that exclude each other."""
    try:
        in_order(parameters)
    except graphlib.CycleError as error:
        circle = error.args[1]
        raise _wrong(file, circle[0], f"depends on itself: {', '.join(circle)}") from error
    for parameter in parameters:
        tried = {parameter.path: next(parameter.range.probes())}
        if not complete(tried, [*parameters, *factors]):
            message = "can never hold, by the conditions of what it depends on"
            raise _wrong(file, parameter.path, message)


def _wrong(file: TomlFile, path: str, message: str) -> ConfigError:
    return file.error(("parameters", path, "when"), message)
