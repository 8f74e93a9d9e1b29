"""One dimension of a search space: a dotted path with its range."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
        values = range(self.low, self.high + 1, self.step or 1)
        for value in thin(values, MOST_PROBES):
            yield {values[0]: "low", values[-1]: "high"}.get(value, ""), value


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


Range = FloatRange | IntRange | Choices


@dataclass(frozen=True)
class Parameter:
    """A dotted path into TrialConfig and what it may be."""

    path: str
    range: Range


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
