"""Which objects and which models a figure shows, by a rule that it states."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal, assert_never

from ss3d.errors import ConfigError
from ss3d.report.previews import Previews

Pick = Literal["median", "best", "worst", "hash"]


@dataclass(frozen=True)
class Model:
    """A column of a figure."""

    label: str
    source: str
    """As the user may find it again: a directory or STUDY/t00017."""
    previews: Previews
    color: tuple[float, float, float] | None = None
    """None takes the next of the sheet's."""


@dataclass(frozen=True)
class Choice:
    """The objects of a figure."""

    ids: list[str]
    rule: str
    """What was done, for a person."""


def choose_objects(models: Sequence[Model], pick: Pick, rows: int) -> Choice:
    """Choose objects that all models have predicted, one category after the other.

    Categories take turns in the order of their names; within a category objects come by the rule,
    applied to the mean `cd_l1` over all models of the figure, so that no model is favored. Where
    the kept inputs are enough and of every category, only objects with one are candidates.

    Args:
        models: at least one.
        pick: nearest the category's median, lowest, highest, or by the sha256 of the id.
        rows: objects at most.

    Raises:
        ConfigError: the models share no object, or not the same targets.
    """
    groups, mean = _candidates(models, rows)
    ordered = [_order(groups[key], mean, pick) for key in sorted(groups)]
    turns = [name for turn in zip_longest(*ordered) for name in turn if name is not None]
    rule = (
        f"{pick} of {len(mean)} validation objects, category by category ({len(groups)}): "
        f"{_describe(pick, _measure(models))}"
    )
    return Choice(ids=turns[:rows], rule=rule)


def choose_extremes(models: Sequence[Model], pick: Literal["best", "worst"], rows: int) -> Choice:
    """Choose the best or the worst objects, the most extreme first, of each category at most one.

    A second one of a category follows only when every category has had one.

    Args:
        models: at least one.
        pick: lowest or highest mean `cd_l1` over all models.
        rows: objects at most.

    Raises:
        ConfigError: as for `choose_objects`.
    """
    groups, mean = _candidates(models, rows)
    ordered = [_order(group, mean, pick) for group in groups.values()]
    rounds = ([name for name in turn if name is not None] for turn in zip_longest(*ordered))
    ids = [name for names in rounds for name in _order(names, mean, pick)]
    extreme = "lowest" if pick == "best" else "highest"
    rule = (
        f"{pick} of {len(mean)} validation objects by {_measure(models)}, the {extreme} first; "
        f"each of the {len(groups)} categories has one before any has two"
    )
    return Choice(ids=ids[:rows], rule=rule)


def _candidates(
    models: Sequence[Model], rows: int
) -> tuple[dict[str, list[str]], dict[str, float]]:
    """Return the objects that may be chosen by category, and their mean `cd_l1`."""
    first = models[0].previews
    common = [name for name in first.ids if all(name in m.previews.distances for m in models)]
    if not common:
        labels = ", ".join(model.source for model in models)
        raise ConfigError(f"figure: {labels} have no validation model in common")
    shown = [name for name in common if any(name in m.previews.images for m in models)]
    category = dict(zip(first.ids, first.categories, strict=True))
    covers = {category[name] for name in shown} == {category[name] for name in common}
    candidates = shown if covers and len(shown) >= rows else common
    mean = {
        name: sum(m.previews.distances[name] for m in models) / len(models) for name in candidates
    }
    groups: dict[str, list[str]] = defaultdict(list)
    for name in candidates:
        groups[category[name]].append(name)
    return groups, mean


def _measure(models: Sequence[Model]) -> str:
    return f"the mean cd_l1 of {len(models)} models" if len(models) > 1 else "cd_l1"


def _order(names: Sequence[str], mean: dict[str, float], pick: Pick) -> list[str]:
    match pick:
        case "best":
            return sorted(names, key=lambda name: (mean[name], name))
        case "worst":
            return sorted(names, key=lambda name: (-mean[name], name))
        case "median":
            values = sorted(mean[name] for name in names)
            middle = (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2
            return sorted(names, key=lambda name: (abs(mean[name] - middle), name))
        case "hash":
            return sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
        case _:
            assert_never(pick)


def _describe(pick: Pick, of_models: str) -> str:
    match pick:
        case "best":
            return f"lowest {of_models} of its category"
        case "worst":
            return f"highest {of_models} of its category"
        case "median":
            return f"nearest its category's median of {of_models}"
        case "hash":
            return "by the sha256 of the id, whatever its quality"
        case _:
            assert_never(pick)
