"""The search space of a study that is in the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ss3d.study.space import Space, parse_space
from ss3d.study.toml_lines import TomlFile


def stored_space(spec: Mapping[str, Any]) -> Space:
    """Return the search space of a study, with the keywords that it began with.

    Args:
        spec: its study.json.

    Raises:
        ConfigError: this version of ss3d does not take it any more.
    """
    name = spec["name"]
    space = parse_space(TomlFile(spec["space"], f"study.json of {name}"), name, spec["seed"])
    return replace(
        space,
        sampler=space.sampler.model_copy(update=spec.get("sampler", {})),
        pruner=space.pruner.model_copy(update=spec.get("pruner", {})),
    )
