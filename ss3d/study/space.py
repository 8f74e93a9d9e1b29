"""A search space file: what varies, what is fixed, and how the search goes on.

The grammar is on one page in search_spaces/README.md. Everything is checked before trial 0: every
unknown key, and every value that does not fit the others, is an error with the file's line.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ss3d.config import PRESETS, TrialConfig
from ss3d.errors import ConfigError
from ss3d.store.layout import check_study_name
from ss3d.study.arms import SEEDS, Design, derive_seeds, flat_values, read_arms
from ss3d.study.parameter import Choices, Parameter, Value
from ss3d.study.ranges import read_parameter
from ss3d.study.soundness import (
    check_metric,
    check_paths,
    check_pruner,
    check_values,
    split_message,
)
from ss3d.study.tables import Budget, Objective, Pruner, Resources, Sampler, Tables
from ss3d.study.toml_lines import TomlFile

_TRIALS = 32
"""Budget of a space that states none and in which something is searched."""


@dataclass(frozen=True)
class Space:
    """A search space that was checked as a whole."""

    name: str
    seed: int
    description: str
    confirms: str
    """The study whose best trials the arms are; empty if it is no confirmation."""
    base: TrialConfig
    parameters: tuple[Parameter, ...]
    """What varies: paths of TrialConfig, then replicate and arm."""
    strata: tuple[dict[str, Value], ...]
    """Every combination of the strata's choices; one empty combination without strata."""
    design: Design
    controls: bool
    """Whether complete trials are measured against supervised controls."""
    objective: Objective
    sampler: Sampler
    pruner: Pruner
    num_trials: int
    """Of the budget."""
    budget: Budget
    resources: Resources
    text: str

    def configure(self, values: Mapping[str, Value]) -> TrialConfig:
        """Return a trial's configuration.

        Args:
            values: of some parameters, replicate and arm among them.

        Raises:
            ConfigError: the values do not fit together.
        """
        return self.base.override(self.design.values(values))

    def stratum(self, number: int) -> dict[str, Value]:
        """Return the fixed values of a trial number: round-robin over all strata."""
        return self.strata[number % len(self.strata)]


def load_space(path: Path, seed: int | None = None) -> Space:
    """Read and check a search space file.

    Args:
        path: of the TOML file.
        seed: of the study, instead of the file's.

    Raises:
        ConfigError: anything is wrong; says the file, the line, the key, got and expected.
    """
    return parse_space(TomlFile.read(path), path.stem.replace("_", "-"), seed)


def parse_space(file: TomlFile, default_name: str, seed: int | None = None) -> Space:
    """Check a search space.

    Args:
        file: the parsed file.
        default_name: the study's name if the file gives none.
        seed: of the study, instead of the file's.

    Raises:
        ConfigError: anything is wrong.
    """
    tables = _read_tables(file)
    seed = tables.study.seed if seed is None else seed
    base = _read_base(file, tables.base, seed)
    parameters = tuple(read_parameter(file, path, t) for path, t in tables.parameters.items())
    check_metric(file, tables.objective.metric)
    check_paths(file, tables, base)
    design = _read_design(file, tables, base, seed)
    arms = [base.override(values) for values in design.arms.values()] or [base]
    for arm in arms:
        check_values(file, arm, parameters)
    check_pruner(file, tables.pruner, arms, parameters)
    name = tables.study.name or default_name
    try:
        check_study_name(name)
    except ConfigError as error:
        raise file.error(("study", "name"), str(error).removeprefix("study name: ")) from error
    strata = _read_strata(file, tables.strata, parameters, design)
    has_search = len(parameters) > len(tables.strata)
    return Space(
        name=name,
        seed=seed,
        description=tables.study.description,
        confirms=tables.study.confirms,
        base=base,
        parameters=(*parameters, *design.factors()),
        strata=strata,
        design=design,
        controls=tables.controls,
        objective=tables.objective,
        sampler=tables.sampler,
        pruner=tables.pruner,
        num_trials=tables.budget.trials or (_TRIALS if has_search else len(strata)),
        budget=tables.budget,
        resources=tables.resources,
        text=file.text,
    )


def _read_tables(file: TomlFile) -> Tables:
    tree = {**file.tree}
    for table, default in (("sampler", "tpe"), ("pruner", "asha")):
        if isinstance(tree.get(table), dict):
            tree[table] = {"name": default, **tree[table]}
    try:
        return Tables.model_validate(tree)
    except ValidationError as error:
        fault = error.errors()[0]
        table = str(fault["loc"][0])
        tags = ("tpe", "random", "asha", "hyperband", "median", "patience", "none")
        location = tuple(
            str(p)
            for n, p in enumerate(fault["loc"])
            if not (n == 1 and table in ("sampler", "pruner") and str(p) in tags)
        )
        raise file.error(location, _explain(fault)) from error


def _explain(fault: Any) -> str:
    """Return a fault of pydantic as got and expected."""
    match fault["type"]:
        case "extra_forbidden":
            return "there is no such key; search_spaces/README.md lists all"
        case "union_tag_invalid":
            return f"got name {fault['ctx']['tag']!r}, expected {fault['ctx']['expected_tags']}"
        case _:
            expected = fault["msg"].removeprefix("Input should be ")
            return f"got {fault['input']!r}, expected {expected}"


def _read_base(file: TomlFile, table: dict[str, Any], seed: int) -> TrialConfig:
    """Return preset, fixed values, and the seeds that the file does not fix."""
    preset = table.get("preset", "paper")
    if preset not in PRESETS:
        message = f"got {preset!r}, expected one of {', '.join(PRESETS)}"
        raise file.error(("base", "preset"), message)
    base = TrialConfig.from_preset(preset)
    values = derive_seeds(seed, replicate=0) | flat_values(table, skipped="preset")
    try:
        return base.override(values)
    except ConfigError as error:
        path, message = split_message(error)
        location = path.split(".") if path.split(".")[0] in table else [path]
        raise file.error(("base", *location), message) from error


def _read_design(file: TomlFile, tables: Tables, base: TrialConfig, seed: int) -> Design:
    arms = read_arms(file, tables.arms, base, list(tables.parameters))
    fixed = flat_values(tables.base, skipped="preset")
    free_seeds = tuple(path for path in SEEDS if path not in fixed)
    if tables.study.replicates > 1 and not free_seeds:
        message = "has no effect: all seeds are fixed in [base]"
        raise file.error(("study", "replicates"), message)
    return Design(seed, arms, tables.study.replicates, free_seeds)


def _read_strata(
    file: TomlFile, names: list[str], parameters: tuple[Parameter, ...], design: Design
) -> tuple[dict[str, Value], ...]:
    """Return the combinations that trials take in turn; all arms of a replicate come together."""
    by_path = {parameter.path: parameter for parameter in parameters}
    factors = design.factors()
    values = [f.range.choices for f in factors if isinstance(f.range, Choices)]
    for name in names:
        of = by_path[name].range if name in by_path else None
        if not isinstance(of, Choices):
            message = f"got {name!r}, expected parameters of type categorical"
            raise file.error(("strata",), message)
        values.append(of.choices)
    paths = [*(factor.path for factor in factors), *names]
    return tuple(dict(zip(paths, chosen, strict=True)) for chosen in itertools.product(*values))
