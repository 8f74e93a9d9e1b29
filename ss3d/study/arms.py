"""Arms and replicates: named variants of the base, each repeated with other seeds.

Both are fixed factors: trials take every arm of every replicate in turn, and each pair of them is a
stratum of its own. A sampler never chooses them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ss3d.config import TrialConfig, fingerprint
from ss3d.errors import ConfigError
from ss3d.study.parameter import Choices, Parameter, Value
from ss3d.study.soundness import split_message
from ss3d.study.toml_lines import TomlFile

ARM = "arm"
REPLICATE = "replicate"
SEEDS = ("data.split_seed", "pretrain.seed", "semi.seed")
_LONGEST_NAME = 48


@dataclass(frozen=True)
class Design:
    """The arms of a search space and how often each is repeated."""

    seed: int
    arms: Mapping[str, Mapping[str, Any]]
    """Name to the paths it sets; empty without arms."""
    replicates: int
    free_seeds: tuple[str, ...]
    """Seeds that the file does not fix: they differ between replicates."""

    def factors(self) -> tuple[Parameter, ...]:
        """Return what trials take in turn: replicate and arm, where there is more than one."""
        found = []
        if self.replicates > 1:
            found.append(Parameter(REPLICATE, Choices(tuple(range(self.replicates)))))
        if self.arms:
            found.append(Parameter(ARM, Choices(tuple(self.arms))))
        return tuple(found)

    def varied(self, base: TrialConfig) -> list[TrialConfig]:
        """Return the configurations that the parameters vary: of each arm, or the base alone."""
        return [base.override(values) for values in self.arms.values()] or [base]

    def values(self, chosen: Mapping[str, Value]) -> dict[str, Any]:
        """Return the configuration's values of an arm and a replicate.

        Args:
            chosen: may name both; other paths are returned as they are.
        """
        own = {path: value for path, value in chosen.items() if path not in (ARM, REPLICATE)}
        arm = self.arms[str(chosen[ARM])] if ARM in chosen else {}
        seeds = derive_seeds(self.seed, int(chosen.get(REPLICATE, 0)))
        return {**{path: seeds[path] for path in self.free_seeds}, **arm, **own}


def derive_seeds(seed: int, replicate: int) -> dict[str, int]:
    """Return the seeds of split, pretraining and teacher-student phase.

    All trials of a replicate get the same: their differences are then differences of the
    parameters.

    Args:
        seed: of the study.
        replicate: another number repeats the same trials with other luck.
    """
    return {path: int(fingerprint([seed, replicate, path])[:8], 16) >> 1 for path in SEEDS}


def read_arms(
    file: TomlFile, tables: Sequence[dict[str, Any]], base: TrialConfig, varied: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Return the arms of a file by name.

    Args:
        file: for the lines of errors.
        tables: `[[arms]]` as parsed.
        base: what they vary.
        varied: paths of `[parameters]`, which no arm may set.

    Raises:
        ConfigError: a name is missing or taken, or a path or value is not valid.
    """
    arms: dict[str, dict[str, Any]] = {}
    for number, table in enumerate(tables):
        place = ("arms", str(number))
        name = table.get("name")
        if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME or name in arms:
            expected = f"a text of 1 to {_LONGEST_NAME} letters that no other arm has"
            raise file.error((*place, "name"), f"got {name!r}, expected {expected}")
        values = flat_values(table, skipped="name")
        for path in set(values) & set(varied):
            raise file.error((*place, *path.split(".")), "is in [parameters] as well")
        try:
            base.override(values)
        except ConfigError as error:
            path, message = split_message(error)
            raise file.error((*place, *path.split(".")), message) from error
        arms[name] = values
    return arms


def flat_values(table: Mapping[str, Any], skipped: str) -> dict[str, Any]:
    """Return the values of a table under their dotted paths, but for one key."""
    values: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            values.update({f"{key}.{field}": item for field, item in value.items()})
        elif key != skipped:
            values[key] = value
    return values
