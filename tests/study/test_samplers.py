"""What each sampler proposes, and that it follows from the space, the history and the number."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from statistics import mean
from typing import Any

import optuna
import pytest
from optuna.samplers import NSGAIIISampler, NSGAIISampler
from optuna.trial import FrozenTrial
from test_proposals import OBJECTIVES, finish, seal

from ss3d.errors import ConfigError
from ss3d.study.frozen import frozen_trial
from ss3d.study.proposals import Proposal, propose
from ss3d.study.samplers import as_founder
from ss3d.study.space import Space, parse_space
from ss3d.study.toml_lines import TomlFile
from ss3d.trial.records import TrialResult, TrialSpec

BASE = """
strata = ["data.labeled_ratio"]
[study]
seed = 3
[base]
preset = "tiny"
[parameters."data.labeled_ratio"]
type = "categorical"
choices = [0.1, 0.5]
"""
FREE = """
[parameters."semi.ema_decay"]
type = "float"
low = 0.9
high = 0.999
scale = "log1m"
[parameters."semi.aug_strength"]
type = "float"
low = 0.0
high = 1.0
[parameters."semi.unlabeled_batch"]
type = "int"
low = 2
high = 8
[parameters."semi.fp_view"]
type = "categorical"
choices = ["weak", "strong"]
"""
STEPS = """
[parameters."semi.aug_strength"]
type = "float"
low = 0.0
high = 0.3
step = 0.1
[parameters."semi.unlabeled_batch"]
type = "int"
low = 2
high = 8
step = 3
"""
SAMPLERS = {
    "tpe": "n_startup_trials = 4",
    "random": "",
    "gp": "n_startup_trials = 4",
    "nsgaii": "population_size = 4",
    "nsgaiii": "population_size = 4",
    "qmc": "",
    "grid": "",
}
Finish = Callable[[TrialSpec, int], TrialResult | None]


def make_space(sampler: str, parameters: str = "", keys: str | None = None) -> Space:
    keys = SAMPLERS[sampler] if keys is None else keys
    parameters = parameters or (STEPS if sampler == "grid" else FREE)
    text = f'{BASE}[sampler]\nname = "{sampler}"\n{keys}\n{parameters}'
    return parse_space(TomlFile(text, "x.toml"), "x")


def distance(spec: TrialSpec) -> float:
    """Best at aug_strength 0.7; nothing else matters."""
    return abs(float(spec.params["semi.aug_strength"]) - 0.7)


def complete(spec: TrialSpec, number: int) -> TrialResult | None:
    return finish(spec, "complete", 9.0, distance(spec) + 0.1, distance(spec))


def mixed(spec: TrialSpec, number: int) -> TrialResult | None:
    """Some are pruned, one fails, one is too large, and the last ones still run."""
    if number >= 13 or number == 7:
        return None
    if number in (5, 6):
        failed = finish(spec, "failed")
        return failed.model_copy(update={"is_too_large": number == 6})
    state = "pruned" if number % 7 == 3 else "complete"
    return finish(spec, state, 9.0, distance(spec) + 0.1, distance(spec))


def play(space: Space, count: int, end: Finish) -> list[tuple[TrialSpec, TrialResult | None]]:
    """Propose trials one after another, each with what is known of those before it."""
    played: list[tuple[TrialSpec, TrialResult | None]] = []
    history: list[FrozenTrial] = []
    for number in range(count):
        spec = seal(space, number, propose(space, history, number))
        played.append((spec, end(spec, number)))
        history.append(frozen_trial(*played[-1], OBJECTIVES))
    return played


def stored(played: Sequence[tuple[TrialSpec, TrialResult | None]]) -> list[FrozenTrial]:
    """The history as a driver finds it that has nothing but the store."""
    return [
        frozen_trial(
            TrialSpec.from_json(spec.to_json()),
            TrialResult.from_json(result.to_json()) if result else None,
            OBJECTIVES,
        )
        for spec, result in played
    ]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_rebuilt_study_proposes_the_same(sampler: str) -> None:
    space = make_space(sampler)
    played = play(space, 16, mixed)
    for number, (spec, _) in enumerate(played):
        again = propose(space, stored(played[:number]), number)
        assert (again.params, again.system_attrs) == (spec.params, spec.attrs["system"])
        assert space.configure(again.params) == spec.config


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_strata_are_searched_apart(sampler: str) -> None:
    space = make_space(sampler)
    history = stored(play(space, 14, complete))
    own = [trial for number, trial in enumerate(history) if number % 2 == 0]
    assert propose(space, history, 14).params == propose(space, own, 14).params


@pytest.mark.parametrize(("sampler", "most"), [("tpe", 0.15), ("gp", 0.1)])
def test_models_find_what_matters(sampler: str, most: float) -> None:
    history = stored(play(make_space("random"), 30, complete))
    space = make_space(sampler)

    def miss(proposal: Proposal) -> float:
        return abs(float(proposal.params["semi.aug_strength"]) - 0.7)

    learned = [miss(propose(space, history, number)) for number in range(30, 36)]
    assert mean(learned) < most < mean(miss(propose(space, [], n)) for n in range(30, 36))


@pytest.mark.parametrize(
    ("sampler", "of"), [("nsgaii", NSGAIISampler), ("nsgaiii", NSGAIIISampler)]
)
def test_generations_advance_and_become_better(sampler: str, of: Any) -> None:
    played = play(make_space(sampler, keys="population_size = 8"), 96, complete)
    generations: dict[int, list[float]] = {}
    parents: dict[tuple[float, int], set[tuple[int, ...]]] = {}
    for spec, _ in played:
        generation = spec.attrs["system"][f"{of.__name__}:generation"]
        generations.setdefault(generation, []).append(distance(spec))
        carried = spec.attrs["system"].get(f"{of.__name__}:parent:{generation}", ())
        stratum = spec.stratum["data.labeled_ratio"]
        parents.setdefault((stratum, generation), set()).add(tuple(carried))
    assert {g: len(found) for g, found in generations.items()} == dict.fromkeys(range(6), 16)
    assert all(len(found) == 1 for found in parents.values())  # one set of parents for each
    assert {len(*found) for (_, g), found in parents.items() if g > 0} == {8}
    chosen = [distance(played[2 * n][0]) for n in next(iter(parents[0.1, 5]))]
    assert mean(chosen) < 0.6 * mean(generations[0])


def test_nsga_ii_without_strata_proposes_what_optuna_does() -> None:
    """Optuna's own study, which lives on, against ours, made anew for every question."""
    text = BASE.replace('strata = ["data.labeled_ratio"]', "") + FREE
    sampler = '[sampler]\nname = "nsgaii"\npopulation_size = 4\n'
    space = parse_space(TomlFile(text + sampler, "x.toml"), "x")
    played = play(space, 16, complete)
    study = optuna.create_study(sampler=NSGAIISampler(population_size=4, seed=0))
    study.add_trials(stored(played))
    parents = NSGAIISampler(population_size=4).get_parent_population(study, 4)
    following = seal(space, 16, propose(space, stored(played), 16))
    found = following.attrs["system"]["NSGAIISampler:parent:4"]
    assert sorted(found) == sorted(trial.number for trial in parents)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("keys", ["", "scramble = false", 'qmc_type = "halton"'])
def test_qmc_is_optunas_sequence_in_every_stratum(keys: str) -> None:
    space = make_space("qmc", keys=keys)
    ours = [spec.attrs["internal"] for spec, _ in play(space, 16, mixed)]
    sampler = optuna.samplers.QMCSampler(
        qmc_type="halton" if "halton" in keys else "sobol",
        scramble="false" not in keys,
        seed=space.seed,
    )
    study = optuna.create_study(sampler=sampler)
    theirs = []
    for _ in range(9):  # the first is not of the sequence: it tells Optuna the space
        trial = study.ask()
        trial.suggest_float("semi.ema_decay", 1 - 0.999, 1 - 0.9, log=True)
        trial.suggest_float("semi.aug_strength", 0.0, 1.0)
        trial.suggest_int("semi.unlabeled_batch", 2, 8)
        trial.suggest_categorical("semi.fp_view", ["weak", "strong"])
        study.tell(trial, 1.0)
        theirs.append(trial.params)
    for stratum in range(2):
        of_stratum = [
            {path: value for path, value in values.items() if path != "data.labeled_ratio"}
            for values in ours[stratum::2]
        ]
        assert of_stratum == theirs[1:]


def test_a_grid_has_every_combination_once_in_every_stratum() -> None:
    space = make_space("grid")
    assert space.num_trials == space.most_trials == 24
    visited = Counter(tuple(spec.params.values()) for spec, _ in play(space, 24, mixed))
    expected = itertools.product([0.1, 0.5], [0.0, 0.1, 0.2, 0.3], [2, 5, 8])
    assert visited == Counter(expected)


def test_a_grid_goes_round_what_was_fixed() -> None:
    points = "[[points]]\nsemi.aug_strength = 0.2\n"
    space = make_space("grid", STEPS + points)
    played = play(space, 24, complete)
    assert [spec.params["semi.aug_strength"] for spec, _ in played[:2]] == [0.2, 0.2]
    assert len({tuple(spec.params.values()) for spec, _ in played}) == 24


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (FREE, 'x.toml:14: parameters."semi.ema_decay": sampler grid needs a step for a float'),
        (
            STEPS.replace("high = 8", "high = 80000"),
            'x.toml:19: parameters."semi.unlabeled_batch": the grid has more than 10000 '
            "combinations from here on; drop values",
        ),
    ],
)
def test_a_grid_without_end_is_refused(parameters: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_space("grid", parameters)
    assert str(caught.value) == message


def test_a_grid_is_refused_whose_values_do_not_all_fit() -> None:
    three = """
[parameters."model.width"]
type = "categorical"
choices = [32, 64]
[parameters."model.num_heads"]
type = "categorical"
choices = [2, 24]
"""
    with pytest.raises(ConfigError, match=r"x.toml:.*num_heads.*divisor of model.width"):
        make_space("grid", three)


def test_every_keyword_reaches_optuna() -> None:
    keys = (
        'population_size = 6\ncrossover = "sbx"\nmutation = "polynomial"\nmutation_prob = 0.5\n'
        "crossover_prob = 1.0\nswapping_prob = 0.1\ndividing_parameter = 2"
    )
    space = make_space("nsgaiii", keys=keys)
    assert space.sampler.model_dump() == {
        "name": "nsgaiii",
        "population_size": 6,
        "crossover": "sbx",
        "mutation": "polynomial",
        "mutation_prob": 0.5,
        "crossover_prob": 1.0,
        "swapping_prob": 0.1,
        "dividing_parameter": 2,
    }
    played = play(space, 30, complete)
    assert stored(played)[-1].system_attrs["NSGAIIISampler:generation"] == 2


@pytest.mark.parametrize("crossover", ["uniform", "blxalpha", "sbx", "spx", "undx", "vsbx"])
def test_every_crossover_stays_in_the_ranges(crossover: str) -> None:
    space = make_space("nsgaii", keys=f'population_size = 4\ncrossover = "{crossover}"')
    for spec, _ in play(space, 20, complete):
        assert 0 <= spec.params["semi.aug_strength"] <= 1
        assert spec.params["semi.unlabeled_batch"] in range(2, 9)


def test_cmaes_is_refused_with_the_reason() -> None:
    with pytest.raises(ConfigError, match=r"x.toml:10: sampler: .* as a pickle"):
        parse_space(TomlFile(BASE + '[sampler]\nname = "cmaes"\n' + FREE, "x.toml"), "x")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("population_size = 2", "sampler.population_size: got 2, expected greater than"),
        ("generations = 2", "sampler.generations: there is no such key"),
        ('crossover = "two"', "sampler.crossover: got 'two', expected 'uniform'"),
    ],
)
def test_a_wrong_key_is_told_with_its_line(keys: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_space("nsgaii", keys=keys)
    assert str(caught.value).startswith(f"x.toml:12: {message}")


@pytest.mark.parametrize("sampler", ["tpe", "gp", "nsgaii", "nsgaiii"])
def test_trials_of_an_earlier_study_teach(sampler: str) -> None:
    earlier = [as_founder(t) for t in stored(play(make_space("random"), 40, complete))]
    space = make_space(sampler)
    cold, warm = ([propose(space, h, n).params for n in range(6)] for h in ([], earlier))

    def miss(params: dict[str, Any]) -> float:
        return abs(params["semi.aug_strength"] - 0.7)

    assert mean(map(miss, warm)) < mean(map(miss, cold))
