"""Points of a search space that somebody chose: some or all parameters of a trial to come."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ss3d.errors import ConfigError
from ss3d.study.arms import flat_values
from ss3d.study.conditions import complete
from ss3d.study.parameter import Parameter, Value, is_same
from ss3d.study.toml_lines import TomlFile

Point = Mapping[str, Value]
Configure = Callable[[Mapping[str, Value]], object]


def read_points(file: TomlFile, check: Callable[[Mapping[str, Any]], Point]) -> tuple[Point, ...]:
    """Return the points of `[[points]]`, in order.

    Args:
        file: for the tables and the lines of errors.
        check: raises ConfigError with the path that is wrong.

    Raises:
        ConfigError: a point is not valid; with its line.
    """
    points = []
    for number, table in enumerate(file.tree.get("points", [])):
        values = flat_values(table, skipped="")
        try:
            points.append(check(values))
        except ConfigError as error:
            path, colon, message = str(error).partition(": ")
            place = [path] if path in table else path.split(".")
            location = ("points", str(number), *(place if colon and path in values else ()))
            text = message if colon and path in values else str(error)
            raise file.error(location, text) from error
    return tuple(points)


def check_point(
    values: Mapping[str, Any],
    parameters: Sequence[Parameter],
    strata: Sequence[Mapping[str, Value]],
    configure: Configure,
) -> Point:
    """Return a point with its values as the space has them.

    Args:
        values: by path.
        parameters: of the space, arm and replicate among them.
        strata: of the space.
        configure: builds a configuration of all values.

    Raises:
        ConfigError: a value is out of its range, does not fit the others, or is of a parameter
            that is not active; begins with the path.
    """
    by_path = {p.path: p for p in parameters}
    if not values.keys() - strata[0].keys():
        raise ConfigError(f"a point fixes one parameter at least, of {', '.join(by_path)}")
    point = {path: _find(by_path, path, value) for path, value in values.items()}
    for path in point:
        for parent in by_path[path].when.keys() - point.keys() - strata[0].keys():
            wanted = " or ".join(map(str, by_path[path].when[parent]))
            raise ConfigError(f"{path}: is active only with {parent} = {wanted}; fix that too")
    fitting = [held for s in strata if (held := _held(point, s, parameters))]
    if not fitting:
        conditional = [path for path in point if by_path[path].when] or list(point)
        raise ConfigError(f"{conditional[0]}: is not active with the point's other values")
    for held in fitting:
        configure(held)
    return point


def _find(by_path: Mapping[str, Parameter], path: str, value: object) -> Value:
    """Return a value as its range has it."""
    if path not in by_path:
        raise ConfigError(f"{path}: is no parameter of the space; it has {', '.join(by_path)}")
    found = by_path[path].range.find(value)
    if found is None:
        raise ConfigError(f"{path}: got {value!r}, expected {by_path[path].range}")
    return found


def agrees(point: Point, stratum: Mapping[str, Value], parameters: Sequence[Parameter]) -> bool:
    """Return whether a trial of a stratum can have the values of a point."""
    return bool(_held(point, stratum, parameters))


def _held(
    point: Point, stratum: Mapping[str, Value], parameters: Sequence[Parameter]
) -> dict[str, Value]:
    """Return values of a whole trial in a stratum at a point; empty if there is none."""
    if any(not is_same(stratum[path], point[path]) for path in stratum if path in point):
        return {}
    tried = {path: ("", value) for path, value in {**stratum, **point}.items()}
    return {path: value for path, (_, value) in complete(tried, parameters).items()}
