"""Whether a search space can be searched: its paths, its objective, and the values it may propose.

What is refused here is refused before trial 0, with the file's line.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterator, Mapping, Sequence

from ss3d.config import TrialConfig, field_marks, unknown_path
from ss3d.errors import ConfigError
from ss3d.study.brackets import num_brackets
from ss3d.study.conditions import Combination, complete
from ss3d.study.parameter import MOST_PROBES, Parameter, Value, thin
from ss3d.study.rungs import first_rung
from ss3d.study.tables import (
    Asha,
    Genetic,
    Gp,
    Hyperband,
    NoPruner,
    Paired,
    Patience,
    Pruner,
    Sampler,
    Tables,
    Tpe,
)
from ss3d.study.toml_lines import Location, TomlFile
from ss3d.trial.records import COST_METRICS, VALIDATION_METRICS

_MOST_OF_A_PAIR = 32
"""Values of each of two parameters that are tried together, when all would be too many."""
_FEWEST_BRACKETS = 2
_FEWEST_MEMORIES = 4
"""Times that the phase should last longer than the teacher's memory 1 / (1 - ema_decay)."""
_PAIRED_METRIC = "val/cd_l1"
_MODELS = "data.num_val_models"


def check_objectives(file: TomlFile, tables: Tables) -> None:
    """Refuse metrics that no report carries, contradictions, and what needs a single objective.

    Raises:
        ConfigError: with the line, and the nearest name of an unknown metric.
    """
    objectives = {_place_of(file, n): one.metric for n, one in enumerate(tables.objective)}
    constraints = {("constraints", str(n)): one for n, one in enumerate(tables.constraints)}
    _check_metrics(file, objectives)
    _check_metrics(file, {place: one.metric for place, one in constraints.items()})
    for place, one in constraints.items():
        if one.least is None and one.most is None:
            raise file.error(place, "has no bound; give most, least or both")
        if one.least is not None and one.most is not None and one.least > one.most:
            raise file.error(
                (*place, "least"), f"got {one.least:g}, expected at most most = {one.most:g}"
            )
    if len(objectives) > 1:
        _check_several(file, tables)


def _place_of(file: TomlFile, number: int) -> Location:
    """Return where an objective stands: there may be one table or a list of them."""
    is_list = isinstance(file.tree.get("objective"), list)
    return ("objective", str(number)) if is_list else ("objective",)


def _check_metrics(file: TomlFile, metrics: Mapping[Location, str]) -> None:
    """Refuse a metric that is unknown or occurs twice."""
    known = (*VALIDATION_METRICS, *COST_METRICS)
    seen: set[str] = set()
    for place, metric in metrics.items():
        if metric not in known:
            near = difflib.get_close_matches(metric, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            message = f"got {metric!r}, expected one of {', '.join(known)}{hint}"
            raise file.error((*place, "metric"), message)
        if metric in seen:
            raise file.error((*place, "metric"), f"{metric} has a table already; write one")
        seen.add(metric)


def _check_several(file: TomlFile, tables: Tables) -> None:
    """Refuse what only makes sense for a single objective."""
    if not isinstance(tables.pruner, Asha | Hyperband | NoPruner):
        message = f"{tables.pruner.name} compares one number; with several objectives use asha"
        raise file.error(("pruner", "name"), f"{message}, hyperband or none")
    if tables.budget.target is not None:
        message = "needs a single objective; with several use trials, hours or plateau"
        raise file.error(("budget", "target"), message)


def check_paths(file: TomlFile, tables: Tables, base: TrialConfig) -> None:
    """Refuse parameters that do not exist, are fixed as well, or cannot act.

    Raises:
        ConfigError: with the line of the first.
    """
    known = {path for path, _ in field_marks()}
    for path in tables.parameters:
        group, _, field = path.partition(".")
        if path not in known:
            raise file.error(("parameters", path), unknown_path(path).removeprefix(f"{path}: "))
        if path in tables.base or field in tables.base.get(group, {}):
            raise file.error(("parameters", path), "is fixed in [base] as well; remove one of them")
        is_off = not base.semi.enabled and "semi.enabled" not in tables.parameters
        if group == "semi" and is_off:
            raise file.error(("parameters", path), "has no effect: semi.enabled = false in [base]")


def check_values(
    file: TomlFile,
    base: TrialConfig,
    parameters: Sequence[Parameter],
    factors: Sequence[Parameter],
    given: Mapping[str, Value],
) -> None:
    """Build the configuration of every value and of every pair of values.

    Of a whole parameter with very many values the ends and an even sample are taken. Values are
    tried where their conditions hold, and not at all with those that exclude them.

    Args:
        file: for the lines of errors.
        base: configuration of one arm.
        parameters: of the file.
        factors: arm and replicate, where there is more than one.
        given: the arm, if there are arms.

    Raises:
        ConfigError: one is not valid; with the line of the parameter that does not fit.
    """
    fixed = {path: ("", value) for path, value in given.items()}
    names = {factor.path for factor in factors}
    for tried in _combinations(parameters):
        held = complete({**fixed, **tried}, [*parameters, *factors])
        own = {path: probe for path, probe in held.items() if path not in names}
        _check(file, base, own, tried)


def check_pruner(
    file: TomlFile, pruner: Pruner, arms: Sequence[TrialConfig], parameters: Sequence[Parameter]
) -> None:
    """Refuse a pruner that could never act, or that asks for more rungs than there are epochs.

    Args:
        file: for the lines of errors.
        pruner: `[pruner]`.
        arms: configurations that the parameters vary.
        parameters: the longest of their teacher-student phases counts.

    Raises:
        ConfigError: with the line.
    """
    epochs = longest_phase(arms, parameters)
    phase = f"semi.epochs = {epochs}"
    if isinstance(pruner, NoPruner):
        return
    if pruner.first_rung and pruner.first_rung >= epochs:
        message = f"got {pruner.first_rung}, expected less than {phase}"
        raise file.error(("pruner", "first_rung"), message)
    if isinstance(pruner, Patience) and pruner.epochs >= epochs:
        raise file.error(("pruner", "epochs"), f"got {pruner.epochs}, expected less than {phase}")
    if isinstance(pruner, Hyperband):
        first, factor = pruner.first_rung or first_rung(epochs), pruner.reduction_factor
        if num_brackets(first, factor, epochs) < _FEWEST_BRACKETS:
            message = (
                f"got {factor}, expected two brackets at least: with first_rung = {first} the "
                f"second would begin at epoch {first * factor} of {phase}; lower it or use asha"
            )
            raise file.error(("pruner", "reduction_factor"), message)


def settle_sampler(file: TomlFile, sampler: Sampler, parameters: Sequence[Parameter]) -> Sampler:
    """Return a sampler with every keyword decided.

    Raises:
        ConfigError: TPE can model groups of parameters only together; with the line.
    """
    if not isinstance(sampler, Tpe):
        return sampler
    if sampler.group and not sampler.multivariate:
        raise file.error(("sampler", "group"), "got true, expected multivariate = true with it")
    is_wanted = sampler.multivariate and any(p.when for p in parameters)
    return sampler.model_copy(
        update={"group": is_wanted if sampler.group is None else sampler.group}
    )


def longest_phase(arms: Sequence[TrialConfig], parameters: Sequence[Parameter]) -> int:
    """Return the epochs of the longest teacher-student phase that a trial can have."""
    varied = [p for p in parameters if p.path == "semi.epochs"]
    fixed = [arm.semi.epochs for arm in arms if not varied or varied[0].when]
    return max([*fixed, *(int(v) for p in varied for _, v in p.range.probes())])


def check_paired(file: TomlFile, tables: Tables) -> None:
    """Refuse the paired test where trials have no pairs: another objective, other models.

    Raises:
        ConfigError: with the line.
    """
    if not isinstance(tables.pruner, Paired):
        return
    objective = tables.objective[0]  # `check_objectives` refuses several
    if (objective.metric, objective.direction) != (_PAIRED_METRIC, "minimize"):
        raise file.error(
            ("pruner", "name"),
            f"got 'paired', which compares {_PAIRED_METRIC} to minimize, with the objective "
            f"{objective.metric} to {objective.direction}; change it or use asha",
        )
    if _MODELS in tables.parameters and _MODELS not in tables.strata:
        message = "trials of the paired test must share their models; fix it or name it in strata"
        raise file.error(("parameters", _MODELS), message)


def late_teacher(base: TrialConfig, parameters: Sequence[Parameter]) -> str | None:
    """Return a warning if the slowest teacher hardly leaves the pretrained weights (method §10)."""
    ranges = {p.path: p.range for p in parameters}
    if "semi.ema_decay" not in ranges:
        return None
    decay = max(float(value) for _, value in ranges["semi.ema_decay"].probes())
    steps = base.semi.steps
    if "semi.steps" in ranges:
        steps = min(int(value) for _, value in ranges["semi.steps"].probes())
    if (1 - decay) * steps > _FEWEST_MEMORIES - 1e-6:  # 1 - 0.9998 is not quite 0.0002
        return None
    return (
        f"semi.ema_decay up to {decay:g} averages over {1 / (1 - decay):.0f} steps, more than a "
        f"quarter of semi.steps = {steps}: such a teacher hardly leaves the pretrained weights"
    )


def unlearned(sampler: Sampler, parameters: Sequence[Parameter], trials: int) -> str | None:
    """Return a note on what a sampler chooses at random, though it could learn elsewhere.

    Args:
        sampler: `[sampler]`.
        parameters: of the space.
        trials: of a stratum.
    """
    if isinstance(sampler, Genetic) and sampler.population_size >= trials:
        return (
            f"sampler: the first generation has population_size = {sampler.population_size} "
            f"complete trials, a stratum {trials} at most: all values will be random"
        )
    conditional = [p.path for p in parameters if p.when]
    if isinstance(sampler, Gp | Genetic) and conditional:
        paths = ", ".join(conditional)
        return f"sampler {sampler.name} chooses parameters with conditions at random: {paths}"
    return None


def split_message(error: ConfigError) -> tuple[str, str]:
    """Return the path that a configuration error is about, and what it says."""
    path, _, message = str(error).splitlines()[0].partition(": ")
    return path, message


def _combinations(parameters: Sequence[Parameter]) -> Iterator[Combination]:
    """Yield every value alone, then every pair."""
    probes = {p.path: list(p.range.probes()) for p in parameters}
    for path, values in probes.items():
        yield from ({path: value} for value in values)
    for (one, first), (two, second) in itertools.combinations(probes.items(), 2):
        most = _MOST_OF_A_PAIR if len(first) * len(second) > MOST_PROBES else MOST_PROBES
        for pair in itertools.product(thin(first, most), thin(second, most)):
            yield dict(zip((one, two), pair, strict=True))


def _check(file: TomlFile, base: TrialConfig, held: Combination, tried: Combination) -> None:
    try:
        base.override({path: value for path, (_, value) in held.items()})
    except ConfigError as error:
        path, message = split_message(error)
        owner = path if path in held else _nearest(path, [*tried, *held])
        key = held[owner][0]
        location = ("parameters", owner, key) if key else ("parameters", owner)
        raise file.error(location, message) from error


def _nearest(path: str, candidates: Sequence[str]) -> str:
    """Return the first path of the same group; the first of all if there is none."""
    group = path.partition(".")[0]
    return next((c for c in candidates if c.partition(".")[0] == group), candidates[0])
