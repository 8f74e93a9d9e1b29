"""A search space file: what varies, what is fixed, and how the search goes on.

The grammar is on one page in search_spaces/README.md. Everything is checked before trial 0: every
unknown key, and every value that does not fit the others, is an error with the file's line.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ss3d.config import PRESETS, TrialConfig
from ss3d.errors import ConfigError
from ss3d.store.layout import check_study_name
from ss3d.study.arms import ARM, SEEDS, Design, derive_seeds, flat_values, read_arms
from ss3d.study.fixed import Point, agrees, check_point, read_points
from ss3d.study.grid import cells, check_grid
from ss3d.study.parameter import Choices, Parameter, Value
from ss3d.study.ranges import read_parameter
from ss3d.study.soundness import (
    check_objectives,
    check_paired,
    check_paths,
    check_pruner,
    check_values,
    settle_sampler,
    split_message,
)
from ss3d.study.tables import Budget, Grid, Pruner, Resources, Sampler, Tables
from ss3d.study.toml_lines import TomlFile
from ss3d.study.when import read_conditions
from ss3d.trial.objectives import Objective, Objectives, objectives_of

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
    objectives: Objectives
    sampler: Sampler
    pruner: Pruner
    num_trials: int
    """Of the budget."""
    budget: Budget
    resources: Resources
    text: str
    points: tuple[Point, ...] = ()
    """Come first, in order, in every stratum that agrees with them."""

    @property
    def objective(self) -> Objective:
        """Return the primary objective."""
        return self.objectives.primary

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

    def place(self, number: int) -> int:
        """Return how many trials of its stratum come before a trial."""
        return number // len(self.strata)

    def point(self, number: int) -> Point | None:
        """Return the point that a trial number starts from, if one is left for it."""
        stratum = self.stratum(number)
        own = [p for p in self.points if agrees(p, stratum, self.parameters)]
        return own[self.place(number)] if self.place(number) < len(own) else None

    def check_point(self, values: Mapping[str, Any]) -> Point:
        """Return a point with its values as the space has them.

        Raises:
            ConfigError: it is not in the space; begins with the path that is wrong.
        """
        return check_point(values, self.parameters, self.strata, self.configure)

    @property
    def has_conditions(self) -> bool:
        """Whether some parameters are not active in every trial."""
        return any(parameter.when for parameter in self.parameters)

    @property
    def most_trials(self) -> int | None:
        """How many trials there can be; None if there is no end of them."""
        if not isinstance(self.sampler, Grid):
            return None
        return len(self.strata) * len(cells(self.parameters, self.strata[0]))


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
    check_objectives(file, tables)
    check_paths(file, tables, base)
    design = _read_design(file, tables, base, seed)
    factors = design.factors()
    arms = {name: base.override(values) for name, values in design.arms.items()}
    parameters = read_conditions(file, parameters, factors, arms or {"": base})
    for name, arm in (arms or {"": base}).items():
        check_values(file, arm, parameters, factors, {ARM: name} if arms else {})
    check_pruner(file, tables.pruner, design.varied(base), parameters)
    check_paired(file, tables)
    name = tables.study.name or default_name
    try:
        check_study_name(name)
    except ConfigError as error:
        raise file.error(("study", "name"), str(error).removeprefix("study name: ")) from error
    strata = _read_strata(file, tables.strata, parameters, design)
    has_search = len(parameters) > len(tables.strata)
    space = Space(
        name=name,
        seed=seed,
        description=tables.study.description,
        confirms=tables.study.confirms,
        base=base,
        parameters=(*parameters, *factors),
        strata=strata,
        design=design,
        controls=tables.controls,
        objectives=objectives_of(
            {
                "objective": [one.model_dump() for one in tables.objective],
                "constraints": [one.model_dump(exclude_none=True) for one in tables.constraints],
            }
        ),
        sampler=settle_sampler(file, tables.sampler, parameters),
        pruner=tables.pruner,
        num_trials=tables.budget.trials or (_TRIALS if has_search else len(strata)),
        budget=tables.budget,
        resources=tables.resources,
        text=file.text,
    )
    return _with_points(file, space)


def _with_points(file: TomlFile, space: Space) -> Space:
    """Return a space with its points, and with the budget that its sampler has."""
    if isinstance(space.sampler, Grid):
        check_grid(file, space.parameters, space.strata, space.configure)
        most = space.most_trials or 0
        space = replace(space, num_trials=min(space.budget.trials or most, most))
    return replace(space, points=read_points(file, space.check_point))


def _read_tables(file: TomlFile) -> Tables:
    tree = {**file.tree}
    for table, default in (("sampler", "tpe"), ("pruner", "asha")):
        if isinstance(tree.get(table), dict):
            tree[table] = {"name": default, **tree[table]}
    is_one = isinstance(tree.get("objective"), dict)
    if is_one:
        tree["objective"] = [tree["objective"]]
    try:
        return Tables.model_validate(tree)
    except ValidationError as error:
        fault = error.errors()[0]
        table, *keys = map(str, fault["loc"])
        has_variants = table in Tables.model_fields and Tables.model_fields[table].discriminator
        if has_variants or (table == "objective" and is_one):
            keys = keys[1:]  # without the variant's name, or the place of the only objective
        location = (table, *keys)
        raise file.error(location, explain(fault)) from error


def explain(fault: Any) -> str:
    """Return a fault of pydantic as got and expected."""
    match fault["type"]:
        case "extra_forbidden":
            return "there is no such key; search_spaces/README.md lists all"
        case "union_tag_invalid" if fault["ctx"]["tag"] == "cmaes":
            return "Optuna keeps its optimizer as a pickle, and no pickle is read here; use gp"
        case "union_tag_invalid":
            return f"got name {fault['ctx']['tag']!r}, expected {fault['ctx']['expected_tags']}"
        case _:
            expected = fault["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
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
        if by_path[name].when:
            raise file.error(("parameters", name, "when"), "is a stratum, which always acts")
        values.append(of.choices)
    paths = [*(factor.path for factor in factors), *names]
    return tuple(dict(zip(paths, chosen, strict=True)) for chosen in itertools.product(*values))
