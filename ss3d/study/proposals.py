"""What to try next: a pure function of the space, the trials so far and the trial's number.

The sampler is made anew for every question, seeded by (study seed, trial number), and sees only
trials of the same stratum. So a study that was rebuilt from the store proposes what the one that
died would have proposed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import distribution_to_json
from optuna.trial import FrozenTrial, TrialState

from ss3d.errors import ConfigError
from ss3d.study.conditions import in_order
from ss3d.study.distributions import distribution, suggest, to_internal, to_value
from ss3d.study.fixed import Point
from ss3d.study.frozen import as_seen, quiet
from ss3d.study.grid import cells, next_cell
from ss3d.study.parameter import Value
from ss3d.study.samplers import carried, make_sampler, restore
from ss3d.study.space import Space
from ss3d.study.tables import Grid, Random

_TRIES = 200
"""How often the sampler is asked for values that fit together."""


@dataclass(frozen=True)
class Proposal:
    """The values of one trial, as the configuration wants them and as Optuna keeps them."""

    params: dict[str, Value]
    internal: dict[str, Value]
    """Optuna's own values: 1 - x for `log1m`."""
    distributions: dict[str, str]
    system_attrs: dict[str, Any]


def propose(
    space: Space, history: Sequence[FrozenTrial], number: int, fixed: Point | None = None
) -> Proposal:
    """Return the values of a trial.

    Args:
        space: the search space.
        history: the study's trials in the order of their numbers, as `frozen_trial` makes them:
            finished ones and running ones. Before them, those of earlier studies to learn from.
        number: of the trial; decides its stratum and the sampler's seed.
        fixed: values that it has in any case, of a point that agrees with its stratum; instead of
            the space's own point for this number.

    Raises:
        ConfigError: the sampler finds no values that fit together.
    """
    stratum = space.stratum(number)
    learned = () if isinstance(space.sampler, Random) else history
    own = [as_seen(t, stratum) for t in learned if _is_in(t, stratum)]
    fixed = fixed or space.point(number) or {}
    wanted = {path: value for path, value in fixed.items() if path not in stratum}
    if isinstance(space.sampler, Grid):
        tried = [trial.params for trial in own]
        wanted = next_cell(cells(space.parameters, stratum), tried, wanted, space.seed)
    with quiet():
        free = {p.path: distribution(p.range) for p in space.parameters if p.path not in stratum}
        sampler = make_sampler(space.sampler, space.seed, number, space.place(number), free)
        directions = [one.direction for one in space.objectives.all]
        study = optuna.create_study(directions=directions, sampler=sampler)
        study.add_trials(own)
        restore(study)
        internal = {**stratum, **_ask_valid(space, study, wanted, stratum)}
        system_attrs = carried(study)
    paths = [p.path for p in space.parameters if p.path in internal]
    ranges = {p.path: p.range for p in space.parameters}
    return Proposal(
        params={**_values(space, internal), **wanted},
        internal={path: internal[path] for path in paths},
        distributions={path: distribution_to_json(distribution(ranges[path])) for path in paths},
        system_attrs=system_attrs,
    )


def _ask_valid(
    space: Space, study: optuna.Study, wanted: Point, stratum: Mapping[str, Value]
) -> dict[str, Value]:
    """Ask until the values fit together; what does not is told as bad, and is forgotten with it.

    Values and pairs of them were checked when the space was read; more than two at a time were not.
    """
    problem = None
    for _ in range(_TRIES):
        asked = _ask(space, study, wanted, stratum)
        try:
            space.configure({**_values(space, {**asked.params, **stratum}), **wanted})
        except ConfigError as error:
            problem = error
            study.tell(asked, state=TrialState.PRUNED)
        else:
            return asked.params
    raise ConfigError(
        f"study {space.name}: no values that fit together in {_TRIES} tries: {problem}"
    )


def _ask(
    space: Space, study: optuna.Study, wanted: Point, stratum: Mapping[str, Value]
) -> optuna.Trial:
    """Ask for the parameters that are active, each after those that it depends on."""
    if wanted:
        ranges = {p.path: p.range for p in space.parameters}
        study.enqueue_trial({p: to_internal(ranges[p], value) for p, value in wanted.items()})
    asked = study.ask()
    _ = asked.relative_params  # a genetic algorithm notes the generation, even of a fixed trial
    chosen = dict(stratum)
    for parameter in in_order(space.parameters):
        if parameter.path not in stratum and parameter.is_active(chosen):
            suggest(asked, parameter)
            chosen[parameter.path] = asked.params[parameter.path]
    return asked


def _values(space: Space, internal: Mapping[str, Value]) -> dict[str, Value]:
    """Return the configuration's values of Optuna's, in the order of the space."""
    return {
        p.path: to_value(p.range, internal[p.path]) for p in space.parameters if p.path in internal
    }


def _is_in(trial: FrozenTrial, stratum: Mapping[str, Value]) -> bool:
    return all(trial.params.get(path) == value for path, value in stratum.items())
