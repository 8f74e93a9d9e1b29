"""A search space with another sampler, pruner or budget: what `ss3d simulate` replays."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from ss3d.errors import ConfigError
from ss3d.study.soundness import check_pruner
from ss3d.study.space import Space, explain, load_space
from ss3d.study.tables import Pruner, Sampler, Table
from ss3d.study.toml_lines import TomlFile

_T = TypeVar("_T", bound=Table)
_PRUNER: TypeAdapter[Pruner] = TypeAdapter(Annotated[Pruner, Field(discriminator="name")])
_SAMPLER: TypeAdapter[Sampler] = TypeAdapter(Annotated[Sampler, Field(discriminator="name")])


def with_pruner(space: Space, text: str) -> Space:
    """Return a space with another pruner.

    Args:
        space: the keywords of its own pruner hold where the name is the same.
        text: `asha`, or with keywords `asha:reduction_factor=4,first_rung=2`.

    Raises:
        ConfigError: there is no such pruner or keyword, or it could never act.
    """
    pruner = _read(_PRUNER, "--pruner", text, space.pruner)
    arms = [space.base.override(values) for values in space.design.arms.values()]
    check_pruner(TomlFile("", f"--pruner {text}"), pruner, arms or [space.base], space.parameters)
    return replace(space, pruner=pruner)


def with_sampler(space: Space, text: str) -> Space:
    """Return a space with another sampler.

    Args:
        space: the keywords of its own sampler hold where the name is the same.
        text: `random`, or with keywords `tpe:n_startup_trials=20`.

    Raises:
        ConfigError: there is no such sampler or keyword.
    """
    return replace(space, sampler=_read(_SAMPLER, "--sampler", text, space.sampler))


def with_tables_of(space: Space, path: Path) -> Space:
    """Return a space with the sampler, the pruner and the budget of a file.

    Raises:
        ConfigError: the file is not valid, or it searches something else.
    """
    other = load_space(path, space.seed)
    for name in ("parameters", "strata", "objectives"):
        if getattr(other, name) != getattr(space, name):
            raise ConfigError(
                f"--space: {path} has other {name} than the study; its curves are of no use there"
            )
    return replace(
        space,
        sampler=other.sampler,
        pruner=other.pruner,
        budget=other.budget,
        num_trials=other.num_trials,
    )


def _read(adapter: TypeAdapter[_T], option: str, text: str, own: Table) -> _T:
    name, _, keywords = text.partition(":")
    held = own.model_dump()
    try:
        given: dict[str, Any] = tomllib.loads(keywords.replace(",", "\n"))
        start = held if held["name"] == name else {"name": name}
        return adapter.validate_python({**start, **given})
    except tomllib.TOMLDecodeError as error:
        message = f"{option}: got {text!r}, expected NAME or NAME:KEY=VALUE,KEY=VALUE"
        raise ConfigError(message) from error
    except ValidationError as error:
        fault = error.errors()[0]
        path = "".join(f"{part}: " for part in fault["loc"][1:])
        raise ConfigError(f"{option}: {text}: {path}{explain(fault)}") from error
