"""Optuna's samplers, made anew for every question from what the space pins and the trials carry.

What Optuna would keep in a running study - the place in a sequence, the parents of a generation -
is taken from the trial's number or from the trials themselves. CMA-ES is left out: Optuna keeps
its optimizer as a pickle.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, nsgaii
from optuna.trial import FrozenTrial

from ss3d.study.tables import Genetic, Gp, Grid, Nsga2, Nsga3, Qmc, Random, Sampler, Tpe

_CROSSOVERS = {
    "blxalpha": nsgaii.BLXAlphaCrossover,
    "sbx": nsgaii.SBXCrossover,
    "spx": nsgaii.SPXCrossover,
    "undx": nsgaii.UNDXCrossover,
    "vsbx": nsgaii.VSBXCrossover,
}
_GENERATIONS = (optuna.samplers.NSGAIISampler, optuna.samplers.NSGAIIISampler)


class QuasiRandom(optuna.samplers.QMCSampler):
    """A quasi-random sequence whose place is given, not counted in the study's attributes.

    Parameters that are not active leave their coordinate unused. If the values do not fit
    together and it is asked again, it answers at random: the next element is another trial's.

    Args:
        place: of the trial in its stratum, from 0.
        space: all that is sampled, in a fixed order.
        settings: of QMCSampler.
    """

    def __init__(self, place: int, space: Mapping[str, BaseDistribution], **settings: Any) -> None:
        super().__init__(**settings)
        self._place = place
        self._space = {path: of for path, of in space.items() if not of.single()}
        self._is_asked = False

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the whole space the first time."""
        is_again, self._is_asked = self._is_asked, True
        return {} if is_again else self._space

    def _find_sample_id(self, study: optuna.Study, search_space: dict[str, Any]) -> int:
        return self._place


def make_sampler(
    table: Sampler, seed: int, number: int, place: int, space: Mapping[str, BaseDistribution]
) -> BaseSampler:
    """Return the sampler that proposes one trial.

    Args:
        table: `[sampler]`.
        seed: of the study.
        number: of the trial; with the study's, it seeds the sampler.
        place: of the trial in its stratum, from 0.
        space: what is sampled.
    """
    digest = hashlib.sha256(f"{seed}/{number}".encode()).digest()
    own_seed = int.from_bytes(digest[:4], "big")
    quiet = {"warn_independent_sampling": False}
    match table:
        case Tpe():
            pinned = table.model_dump(exclude={"name", "group"})
            return optuna.samplers.TPESampler(seed=own_seed, group=bool(table.group), **pinned)
        case Gp():
            pinned = table.model_dump(exclude={"name"})
            return optuna.samplers.GPSampler(seed=own_seed, **pinned, **quiet)
        case Nsga2():
            return optuna.samplers.NSGAIISampler(seed=own_seed, **_genetic(table))
        case Nsga3():
            return optuna.samplers.NSGAIIISampler(
                seed=own_seed, dividing_parameter=table.dividing_parameter, **_genetic(table)
            )
        case Qmc():
            pinned = table.model_dump(exclude={"name"})
            again = optuna.samplers.RandomSampler(seed=own_seed)
            return QuasiRandom(
                place, space, seed=seed, independent_sampler=again, **pinned, **quiet
            )
        case Random() | Grid():  # the grid's cell is fixed before the sampler is asked
            return optuna.samplers.RandomSampler(seed=own_seed)


def carried(study: optuna.Study) -> dict[str, Any]:
    """Return what the newest trial of a study must carry, for others to be proposed like it.

    These are its system attributes and the parents of its generation, which Optuna keeps in the
    study: later trials of the generation have the same, though more trials have ended by then.
    """
    trial = study.get_trials(deepcopy=False)[-1]
    in_study = study._storage.get_study_system_attrs(study._study_id)
    parents: dict[str, Any] = {}
    for sampler in _GENERATIONS:
        generation = trial.system_attrs.get(sampler._get_generation_key())
        key = f"{sampler._get_parent_cache_key_prefix()}{generation}"
        parents |= {key: in_study[key]} if key in in_study else {}
    return {**trial.system_attrs, **parents}


def restore(study: optuna.Study) -> None:
    """Give a study the parents of generations that its trials carry; the first one's hold.

    Parents are numbers of trials in the study, so those of a stratum must be added in order.
    """
    found: dict[str, Any] = {}
    prefixes = tuple(s._get_parent_cache_key_prefix() for s in _GENERATIONS)
    for trial in study.get_trials(deepcopy=False):
        for key, value in trial.system_attrs.items():
            if key.startswith(prefixes):
                found.setdefault(key, value)
    for key, value in found.items():
        study._storage.set_study_system_attr(study._study_id, key, value)


def as_founder(trial: FrozenTrial) -> FrozenTrial:
    """Return a trial of another study as this study's samplers should see it.

    Genetic algorithms count it to the first generation, whatever it was in its own study.
    """
    prefixes = tuple(f"{s.__name__}:" for s in _GENERATIONS)
    others = {k: v for k, v in trial.system_attrs.items() if not k.startswith(prefixes)}
    generation = {s._get_generation_key(): 0 for s in _GENERATIONS}
    return optuna.trial.create_trial(
        state=trial.state,
        values=trial.values,
        params=trial.params,
        distributions=trial.distributions,
        intermediate_values=trial.intermediate_values,
        system_attrs={**others, **generation},
    )


def _genetic(table: Genetic) -> dict[str, Any]:
    numbers = {"population_size", "crossover_prob", "swapping_prob", "mutation_prob"}
    make = _CROSSOVERS.get(table.crossover)
    return {
        **table.model_dump(include=numbers),
        "crossover": make() if make else nsgaii.UniformCrossover(table.swapping_prob),
        "mutation": nsgaii.PolynomialMutation() if table.mutation == "polynomial" else None,
    }
