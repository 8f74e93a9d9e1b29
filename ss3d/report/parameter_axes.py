"""A parameter of a study as an axis: where each of its values lies between 0 and 1."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ss3d.config import canonical_json
from ss3d.report.leaderboard import Row, short

_LABEL_LETTERS = 10


@dataclass(frozen=True)
class ParameterAxis:
    """One parameter that varies within strata."""

    path: str
    scale: str
    """`linear`, `log`, `log1m` (logarithmic in 1 - x), or `choices`."""
    ends: tuple[float, float]
    """Of the numbers; those of choices are not used."""
    choices: tuple[Any, ...] = ()

    @property
    def name(self) -> str:
        """Return the last part of the path."""
        return self.path.rpartition(".")[2]

    def place(self, value: Any) -> float:
        """Return where a value lies, from 0 to 1; NaN where the parameter is not active."""
        if value is None:
            return math.nan
        if self.scale == "choices":
            return _share(_index(self.choices, value), (0, len(self.choices) - 1))
        low, high = (self._warp(end) for end in self.ends)
        return _share(self._warp(float(value)), (low, high))

    def ticks(self) -> list[tuple[float, str]]:
        """Return places with labels: both ends and the middle, or every choice."""
        if self.scale == "choices":
            return [(self.place(one), short(one)[:_LABEL_LETTERS]) for one in self.choices]
        return [(place, short(self._value(place))) for place in (0.0, 0.5, 1.0)]

    def _warp(self, value: float) -> float:
        match self.scale:
            case "log":
                return math.log(value)
            case "log1m":
                return -math.log1p(-value)
            case _:
                return value

    def _value(self, place: float) -> float:
        low, high = (self._warp(end) for end in self.ends)
        warped = low + place * (high - low)
        match self.scale:
            case "log":
                return math.exp(warped)
            case "log1m":
                return -math.expm1(-warped)
            case _:
                return warped


def parameter_axes(declared: Mapping[str, Any], rows: Sequence[Row]) -> list[ParameterAxis]:
    """Return an axis for each parameter that has several values within strata.

    Args:
        declared: the parameters of study.json.
        rows: of the leaderboard.
    """
    values: dict[str, list[Any]] = {}
    for row in rows:
        for path, value in row.params.items():
            if path not in row.stratum:
                values.setdefault(path, []).append(value)
    return [
        _axis(path, declared.get(path, {}), found)
        for path, found in values.items()
        if len({canonical_json(value) for value in found}) > 1
    ]


def _axis(path: str, declared: Mapping[str, Any], found: Sequence[Any]) -> ParameterAxis:
    if declared.get("type") == "categorical" or not all(map(_is_number, found)):
        return ParameterAxis(path, "choices", (0, 0), _distinct(declared.get("choices", ()), found))
    known = [*found, *(declared[end] for end in ("low", "high") if end in declared)]
    return ParameterAxis(path, declared.get("scale", "linear"), (min(known), max(known)))


def _distinct(*values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple({canonical_json(one): one for many in values for one in many}.values())


def _index(choices: Sequence[Any], value: Any) -> int:
    return [canonical_json(one) for one in choices].index(canonical_json(value))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _share(value: float, ends: tuple[float, float]) -> float:
    low, high = ends
    return (value - low) / (high - low) if high > low else 0.5
