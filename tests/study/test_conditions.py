"""Parameters that are varied under conditions only, from the file to the table of trials."""

from __future__ import annotations

from typing import Any

import pytest
from test_proposals import METRIC, OBJECTIVES, finish, seal

from ss3d.errors import ConfigError
from ss3d.report.leaderboard import leaderboard
from ss3d.report.leaderboard_table import leaderboard_table
from ss3d.study.frozen import frozen_trial
from ss3d.study.importance import importances
from ss3d.study.proposals import propose
from ss3d.study.sharing import count_shared, keyed_ranges
from ss3d.study.soundness import unlearned
from ss3d.study.space import Space, parse_space
from ss3d.study.toml_lines import TomlFile
from ss3d.trial.records import StudyRecord, TrialRecord, TrialSpec

BASE = """[study]
seed = 3
[base]
preset = "tiny"
"""
EMA = """[parameters."semi.ema_decay"]
type = "float"
low = 0.9
high = 0.99
"""
DECODER = """[parameters."model.decoder"]
type = "categorical"
choices = ["self_attention", "mlp"]
"""
HEADS = """[parameters."model.num_heads"]
type = "categorical"
choices = [1, 2, 4]
when = { "model.decoder" = "self_attention" }
"""
NOISE = """[parameters."semi.fp_mode"]
type = "categorical"
choices = ["dropout", "noise"]
"""
SIGMA = """[parameters."semi.fp_magnitude"]
type = "float"
low = 0.1
high = 0.4
step = 0.1
when = { "semi.fp_mode" = "noise", "model.num_heads" = [1, 4] }
"""
CHAIN = DECODER + SIGMA + HEADS + NOISE  # a child may stand before what it depends on


def parse(text: str) -> Space:
    return parse_space(TomlFile(text, "x.toml"), "x")


def with_sampler(name: str, keys: str = "") -> Space:
    rest = "" if name == "grid" else EMA
    return parse(BASE + f'[sampler]\nname = "{name}"\n{keys}\n' + CHAIN + rest)


def value_of(spec: TrialSpec) -> float:
    """Best with an MLP; with attention, with four heads."""
    return 1.0 if "model.num_heads" not in spec.params else 5.0 - spec.params["model.num_heads"]


def play(space: Space, count: int) -> list[TrialRecord]:
    records: list[TrialRecord] = []
    history = []
    for number in range(count):
        spec = seal(space, number, propose(space, history, number))
        result = finish(spec, "complete", 9.0, value_of(spec))
        spec, result = spec.from_json(spec.to_json()), result.from_json(result.to_json())
        records.append(TrialRecord(spec=spec, result=result, reports=result.reports))
        history.append(frozen_trial(spec, result, OBJECTIVES))
    return records


SAMPLERS = {
    "tpe": "n_startup_trials = 5",
    "random": "",
    "gp": "n_startup_trials = 5",
    "nsgaii": "population_size = 5",
    "nsgaiii": "population_size = 5",
    "qmc": "",
    "grid": "",
}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_trial_has_the_parameters_whose_conditions_hold(sampler: str) -> None:
    space = with_sampler(sampler, SAMPLERS[sampler])
    base = space.base.flatten()
    records = play(space, 11)
    for record in records:
        spec, params = record.spec, record.spec.params
        has_heads = params["model.decoder"] == "self_attention"
        has_sigma = (
            has_heads and params["semi.fp_mode"] == "noise" and params["model.num_heads"] in (1, 4)
        )
        assert ("model.num_heads" in params) == has_heads
        assert ("semi.fp_magnitude" in params) == has_sigma
        assert params.keys() == spec.distributions.keys() == spec.attrs["internal"].keys()
        for path in ("model.num_heads", "semi.fp_magnitude"):
            assert spec.config.flatten()[path] == params.get(path, base[path])
    assert {"model.num_heads" in record.spec.params for record in records} == {True, False}
    again = [frozen_trial(r.spec, r.result, OBJECTIVES) for r in records[:10]]
    assert propose(space, again, 10).params == records[10].spec.params


def test_a_grid_has_each_combination_that_can_be() -> None:
    space = with_sampler("grid")
    # mlp: 2 modes; dropout: 3 heads; noise: two heads with 4 magnitudes, and two heads without
    assert space.num_trials == 2 + 3 + (2 * 4 + 1)
    found = [tuple(sorted(r.spec.params.items())) for r in play(space, space.num_trials)]
    assert len(set(found)) == space.num_trials


def test_tpe_models_what_is_active_together_and_says_so() -> None:
    assert with_sampler("tpe").sampler.model_dump()["group"] is True
    assert with_sampler("tpe", "multivariate = false").sampler.model_dump()["group"] is False
    assert parse(BASE + DECODER).sampler.model_dump()["group"] is False
    params = [record.spec.params for record in play(with_sampler("tpe", SAMPLERS["tpe"]), 30)]
    late = [p["model.decoder"] for p in params[15:]]
    assert late.count("mlp") > late.count("self_attention")  # an MLP is best
    with pytest.raises(ConfigError, match=r"x.toml:8: sampler.group: got true, expected multivar"):
        with_sampler("tpe", "multivariate = false\ngroup = true")


@pytest.mark.parametrize(("sampler", "is_told"), [("gp", True), ("nsgaii", True), ("tpe", False)])
def test_samplers_that_choose_conditional_values_at_random_say_so(
    sampler: str, is_told: bool
) -> None:
    space = with_sampler(sampler, SAMPLERS[sampler])
    note = unlearned(space.sampler, space.parameters, 32) or ""
    assert ("conditions at random: semi.fp_magnitude, model.num_heads" in note) is is_told


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            DECODER + HEADS.replace("self_attention", "attention"),
            'x.toml:11: parameters."model.num_heads".when: can never hold: model.decoder is never '
            "'attention', but self_attention, mlp",
        ),
        (
            HEADS.replace("self_attention", "mlp"),
            'x.toml:8: parameters."model.num_heads".when: can never hold: model.decoder is no '
            "parameter and fixed to 'self_attention'",
        ),
        (
            HEADS.replace("model.decoder", "model.decodr"),
            'x.toml:8: parameters."model.num_heads".when: model.decodr: there is no such '
            "parameter; did you mean model.decoder?",
        ),
        (
            HEADS.replace('{ "model.decoder" = "self_attention" }', '"mlp"'),
            "x.toml:8: parameters.\"model.num_heads\".when: got 'mlp', expected { path = value }",
        ),
        (
            EMA + HEADS.replace('"model.decoder" = "self_attention"', '"semi.ema_decay" = 0.9'),
            'x.toml:12: parameters."model.num_heads".when: depends on semi.ema_decay, a float; '
            "expected a categorical or int parameter",
        ),
        (
            DECODER + 'when = { "model.num_heads" = 2 }\n' + HEADS,
            'x.toml:8: parameters."model.decoder".when: depends on itself: '
            "model.decoder, model.num_heads, model.decoder",
        ),
        (
            DECODER + HEADS + NOISE + 'when = { "model.num_heads" = 2, "model.decoder" = "mlp" }\n',
            'x.toml:15: parameters."semi.fp_mode".when: can never hold, by the conditions of what '
            "it depends on",
        ),
    ],
)
def test_a_condition_that_cannot_hold_is_told_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(BASE + text)
    assert str(caught.value) == message


def test_a_stratum_always_acts() -> None:
    with pytest.raises(ConfigError, match=r'x.toml:12: parameters."model.num_heads".when: is a st'):
        parse('strata = ["model.num_heads"]\n' + BASE + DECODER + HEADS)


def test_a_condition_that_the_base_fulfils_changes_nothing() -> None:
    (parameter,) = parse(BASE + HEADS).parameters
    assert parameter.when == {}


ARMS = """[[arms]]
name = "attention"
[[arms]]
name = "mlp"
model.decoder = "mlp"
"""


def test_a_condition_on_what_arms_set_is_one_on_the_arm() -> None:
    space = parse(BASE + ARMS + HEADS + EMA)
    assert [dict(p.when) for p in space.parameters] == [{"arm": ("attention",)}, {}, {}]
    for number, record in enumerate(play(space, 6)):
        assert ("model.num_heads" in record.spec.params) == (number % 2 == 0)
    by_name = HEADS.replace('"model.decoder" = "self_attention"', 'arm = "attention"')
    assert parse(BASE + ARMS + by_name + EMA).parameters == space.parameters


def test_values_are_checked_only_where_they_can_be() -> None:
    """24 heads fit a width of 48 and not of 32: wrong, unless a condition keeps them apart."""
    width = '[parameters."model.width"]\ntype = "categorical"\nchoices = [32, 48]\n'
    heads = '[parameters."model.num_heads"]\ntype = "categorical"\nchoices = [2, 24]\n'
    base = BASE + "model.num_decoder_heads = 2\n"
    with pytest.raises(ConfigError, match=r"expected a divisor of model.width = 32"):
        parse(base + width + heads)
    space = parse(base + width + heads + 'when = { "model.width" = 48 }\n')
    assert {r.spec.config.model.num_heads for r in play(space, 12)} >= {2, 24}
    wrong = heads.replace("24", "25") + 'when = { "model.width" = 48 }\n'
    with pytest.raises(ConfigError, match=r"x.toml:11: .*divisor of model.width = 48"):
        parse(base + width + wrong)


def test_pretrains_are_counted_by_what_is_active() -> None:
    assert count_shared(parse(BASE + DECODER + HEADS), "pretrain") == 3 + 1
    # the perturbation enters no pretraining: its condition leaves 3 heads, or the base's
    by_mode = HEADS.replace('"model.decoder" = "self_attention"', '"semi.fp_mode" = "noise"')
    assert count_shared(parse(BASE + NOISE + by_mode), "pretrain") == 3 + 1
    lr = '[parameters."pretrain.lr"]\ntype = "float"\nlow = 1e-4\nhigh = 1e-3\n'
    endless = parse(BASE + DECODER + lr + 'when = { "model.decoder" = "mlp" }\n')
    assert count_shared(endless, "pretrain") is None
    assert keyed_ranges(endless, "pretrain") == ["pretrain.lr"]
    assert count_shared(parse(BASE + ARMS + HEADS), "pretrain") == 3 + 1


def test_tables_and_importances_cope_with_missing_parameters() -> None:
    spec: dict[str, Any] = {
        "name": "x",
        "objective": {"metric": METRIC, "direction": "minimize"},
    }
    trials = tuple(play(with_sampler("random"), 30))
    record = StudyRecord(name="x", spec=spec, trials=trials, shared=())
    rows = leaderboard(record)
    assert len(rows) == 30
    assert leaderboard_table(rows, OBJECTIVES, "x").row_count == 30
    (part,) = importances(record)
    assert {p.path for p in part.parameters} >= {"model.decoder", "semi.fp_mode", "semi.ema_decay"}
