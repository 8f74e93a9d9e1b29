"""Every combination of a space once: which is next follows from those that were tried."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence

from ss3d.errors import ConfigError
from ss3d.study.conditions import in_order
from ss3d.study.parameter import Parameter, Value
from ss3d.study.toml_lines import TomlFile

MOST_CELLS = 10_000
"""Of one stratum; a larger grid would never be finished."""

Cell = Mapping[str, Value]


def cells(parameters: Sequence[Parameter], stratum: Mapping[str, Value]) -> list[dict[str, Value]]:
    """Return all combinations of the parameters that a stratum leaves free.

    Raises:
        ConfigError: a range has no end of values, or there are too many; begins with the path.
    """
    found: list[dict[str, Value]] = [dict(stratum)]
    for parameter in in_order(parameters):
        if parameter.path in stratum:
            continue
        values = parameter.range.values()
        if values is None:
            raise ConfigError(f"{parameter.path}: sampler grid needs a step for a float")
        if len(found) * len(values) > MOST_CELLS:
            message = f"the grid has more than {MOST_CELLS} combinations from here on; drop values"
            raise ConfigError(f"{parameter.path}: {message}")
        found = [
            varied
            for cell in found
            for varied in (
                [{**cell, parameter.path: value} for value in values]
                if parameter.is_active(cell)
                else [cell]
            )
        ]
    return [{path: v for path, v in cell.items() if path not in stratum} for cell in found]


def check_grid(
    file: TomlFile,
    parameters: Sequence[Parameter],
    strata: Sequence[Mapping[str, Value]],
    configure: Callable[[Mapping[str, Value]], object],
) -> None:
    """Refuse a grid that has no end, values that do not fit together, or strata of other sizes.

    Args:
        file: for the lines of errors.
        parameters: of the space, arm and replicate among them.
        strata: of the space; trials take them in turn, so each has as many combinations.
        configure: builds the configuration of all values.

    Raises:
        ConfigError: with the line.
    """
    sizes = []
    for stratum in strata:
        try:
            found = cells(parameters, stratum)
            for cell in found:
                configure({**stratum, **cell})
        except ConfigError as error:
            path, _, message = str(error).splitlines()[0].partition(": ")
            raise file.error(("parameters", path), message) from error
        sizes.append(len(found))
    if len(set(sizes)) > 1:
        message = f"a grid needs as many combinations in every stratum, got {sorted(set(sizes))}"
        raise file.error(("sampler", "name"), message)


def next_cell(all_cells: Sequence[Cell], tried: Iterable[Cell], fixed: Cell, seed: int) -> Cell:
    """Return the first combination, in a shuffled order, that no trial had.

    Args:
        all_cells: of the stratum.
        tried: values of the trials so far.
        fixed: values that it must have; if all such were tried, the first of them comes again.
        seed: of the order.
    """
    order = list(all_cells)
    random.Random(seed).shuffle(order)
    had = {frozenset(cell.items()) for cell in tried}
    fitting = [cell for cell in order if fixed.items() <= cell.items()]
    return next((cell for cell in fitting if frozenset(cell.items()) not in had), fitting[0])
