"""One dimension of a search space: a dotted path with its range."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, TypeVar

Value = bool | int | float | str
Scale = Literal["linear", "log", "log1m"]
_T = TypeVar("_T")

MOST_PROBES = 1000
"""How many values of a whole parameter are tried before a study begins."""


@dataclass(frozen=True)
class FloatRange:
    """A real parameter; `log1m` is logarithmic in 1 - x, for decays close to 1."""

    low: float
    high: float
    scale: Scale = "linear"
    step: float | None = None

    def __str__(self) -> str:
        return _describe_ends(self)

    def probes(self) -> Iterator[tuple[str, Value]]:
        """Yield the key in the file and the value of each end."""
        yield "low", self.low
        yield "high", self.high

    def values(self) -> Sequence[float] | None:
        """Return all values of a range with steps; None without, for there is no end of them."""
        if self.step is None:
            return None
        low, step = Decimal(str(self.low)), Decimal(str(self.step))
        count = int((Decimal(str(self.high)) - low) // step) + 1
        return [float(low + n * step) for n in range(count)]

    def find(self, value: object) -> Value | None:
        """Return the value of the range that this is; None if it is not in it."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        if self.step is not None:
            values = self.values() or ()
            return next((v for v in values if math.isclose(v, value, abs_tol=1e-9)), None)
        return float(value) if self.low <= value <= self.high else None


@dataclass(frozen=True)
class IntRange:
    """A whole parameter, both ends included."""

    low: int
    high: int
    scale: Scale = "linear"
    step: int | None = None

    def __str__(self) -> str:
        return _describe_ends(self)

    def probes(self) -> Iterator[tuple[str, Value]]:
        """Yield the key in the file, empty between the ends, and each value or an even sample."""
        values = self.values()
        for value in thin(values, MOST_PROBES):
            yield {values[0]: "low", values[-1]: "high"}.get(value, ""), value

    def values(self) -> Sequence[int]:
        """Return all values."""
        return range(self.low, self.high + 1, self.step or 1)

    def find(self, value: object) -> Value | None:
        """Return the value of the range that this is; None if it is not in it."""
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        return value if is_whole and value in self.values() else None


@dataclass(frozen=True)
class Choices:
    """A parameter with a list of values, without order."""

    choices: tuple[Value, ...]

    def __str__(self) -> str:
        return ", ".join(map(str, self.choices))

    def probes(self) -> Iterator[tuple[str, Value]]:
        """Yield the key in the file and each value."""
        for value in self.choices:
            yield "choices", value

    def values(self) -> Sequence[Value]:
        """Return all values."""
        return self.choices

    def find(self, value: object) -> Value | None:
        """Return the choice that this is; None if it is none of them."""
        return next((choice for choice in self.choices if is_same(choice, value)), None)


Range = FloatRange | IntRange | Choices


@dataclass(frozen=True)
class Parameter:
    """A dotted path into TrialConfig and what it may be."""

    path: str
    range: Range
    when: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    """Values of other parameters with which it is active; of each one, if there are several."""

    def is_active(self, chosen: Mapping[str, Value]) -> bool:
        """Return whether its conditions hold.

        Args:
            chosen: values of the active ones of the parameters that it depends on.
        """
        return all(
            path in chosen and any(is_same(chosen[path], value) for value in wanted)
            for path, wanted in self.when.items()
        )


def is_same(one: object, other: object) -> bool:
    """Return whether two values are one: true is not 1, but 1 is 1.0."""
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def thin(values: Sequence[_T], most: int) -> Sequence[_T]:
    """Return at most so many values, evenly spread, both ends among them."""
    if len(values) <= most:
        return values
    return [values[n * (len(values) - 1) // (most - 1)] for n in range(most)]


def _describe_ends(ends: FloatRange | IntRange) -> str:
    """Return a range as a person writes it: 0.9 to 0.999 (log1m)."""
    notes = [ends.scale] if ends.scale != "linear" else []
    notes += [f"step {ends.step}"] if ends.step else []
    return f"{ends.low} to {ends.high}" + (f" ({', '.join(notes)})" if notes else "")
