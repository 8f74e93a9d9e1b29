"""Reading one `[parameters."…"]` table into a range."""

from __future__ import annotations

from typing import Any

from ss3d.errors import ConfigError
from ss3d.study.parameter import Choices, FloatRange, IntRange, Parameter, Value
from ss3d.study.toml_lines import TomlFile

_KEYS = {
    "float": {"low", "high", "scale", "step"},
    "int": {"low", "high", "scale", "step"},
    "categorical": {"choices"},
}
_SCALES = {"float": ("linear", "log", "log1m"), "int": ("linear", "log")}


def read_parameter(file: TomlFile, path: str, table: dict[str, Any]) -> Parameter:
    """Return a parameter, without its conditions.

    Raises:
        ConfigError: an unknown or missing key, or an empty or impossible range; says the line.
    """
    kind = table.get("type")
    if kind not in _KEYS:
        raise _wrong(file, path, "type", kind, "float, int or categorical")
    for key in table.keys() - {"type", "when"} - _KEYS[kind]:
        expected = ", ".join(sorted(_KEYS[kind]))
        raise file.error(("parameters", path, key), f"{kind} has no such key; it has {expected}")
    if kind == "categorical":
        return Parameter(path, _read_choices(file, path, table))
    _check_ends(file, path, kind, table)
    _check_scale(file, path, kind, table)
    low, high, scale = table["low"], table["high"], table.get("scale", "linear")
    if kind == "int":
        return Parameter(path, IntRange(low, high, scale, table.get("step")))
    return Parameter(path, FloatRange(float(low), float(high), scale, table.get("step")))


def _read_choices(file: TomlFile, path: str, table: dict[str, Any]) -> Choices:
    values = table.get("choices")
    if not isinstance(values, list) or not values:
        raise _wrong(file, path, "choices", values, "a list with at least one value")
    for value in values:
        if not isinstance(value, bool | int | float | str):
            raise _wrong(file, path, "choices", value, "numbers, texts or booleans")
    if len({(type(value), value) for value in values}) != len(values):
        raise _wrong(file, path, "choices", values, "every value once")
    choices: tuple[Value, ...] = tuple(values)
    return Choices(choices)


def _check_ends(file: TomlFile, path: str, kind: str, table: dict[str, Any]) -> None:
    types = int if kind == "int" else int | float
    for key in ("low", "high", "step"):
        if key == "step" and key not in table:
            continue
        value = table.get(key)
        if isinstance(value, bool) or not isinstance(value, types):
            raise _wrong(file, path, key, value, "a whole number" if kind == "int" else "a number")
    if not table["low"] < table["high"]:
        raise _wrong(file, path, "high", table["high"], f"more than low = {table['low']}")
    if table.get("step", 1) <= 0:
        raise _wrong(file, path, "step", table["step"], "more than 0")


def _check_scale(file: TomlFile, path: str, kind: str, table: dict[str, Any]) -> None:
    scale = table.get("scale", "linear")
    if scale not in _SCALES[kind]:
        raise _wrong(file, path, "scale", scale, f"one of {', '.join(_SCALES[kind])}")
    if scale == "log" and table["low"] <= 0:
        raise _wrong(file, path, "low", table["low"], "more than 0 with scale = 'log'")
    if scale == "log1m" and table["high"] >= 1:
        raise _wrong(file, path, "high", table["high"], "less than 1 with scale = 'log1m'")
    if scale != "linear" and "step" in table:
        raise _wrong(file, path, "step", table["step"], "no step with a logarithmic scale")


def _wrong(file: TomlFile, path: str, key: str, got: object, expected: str) -> ConfigError:
    return file.error(("parameters", path, key), f"got {got!r}, expected {expected}")
