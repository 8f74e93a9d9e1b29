from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest

from ss3d.errors import ConfigError
from ss3d.store.layout import trial_id
from ss3d.study.cohort import Cohort, Curve
from ss3d.study.parameter import IntRange
from ss3d.study.pruners import make_rule
from ss3d.study.sharing import count_shared, keyed_ranges
from ss3d.study.soundness import late_teacher, longest_phase
from ss3d.study.space import Space, derive_seeds, load_space, parse_space
from ss3d.study.stored import stored_space
from ss3d.study.toml_lines import TomlFile

SPACES = Path(__file__).parents[2] / "search_spaces"
BASE = '[base]\npreset = "tiny"\n'
EMA = '[parameters."semi.ema_decay"]\ntype = "float"\nlow = 0.9\nhigh = 0.99\nscale = "log1m"\n'
HEADS = '[parameters."model.num_heads"]\ntype = "int"\nlow = 1\nhigh = 8\n'
BACKBONES = '[parameters."model.backbone"]\ntype = "categorical"\nchoices = ["resnet50", "cnn"]\n'
NUM_VAL = '[parameters."data.num_val_models"]\ntype = "categorical"\nchoices = [8, 16]\n'
MODES = '[parameters."semi.bn_mode"]\ntype = "categorical"\nchoices = ["train", "frozen"]\n'


def parse(text: str) -> Space:
    return parse_space(TomlFile(text, "x.toml"), "x")


@pytest.mark.parametrize("path", sorted(SPACES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_space_is_valid(path: Path) -> None:
    space = load_space(path)
    assert space.parameters
    assert keyed_ranges(space, "pretrain") == []


@pytest.mark.parametrize("path", sorted(SPACES.glob("*.toml")), ids=lambda path: path.stem)
def test_no_shipped_space_compares_before_a_quarter_of_the_phase(path: Path) -> None:
    """Before that the teacher, an average over steps, can hardly matter."""
    space = load_space(path)
    rule = make_rule(space)
    phase = longest_phase(space.design.varied(space.base), space.parameters)
    early = range(1, math.ceil(phase / 4))
    curves = {trial_id(n): Curve(dict.fromkeys(range(1, phase + 1), float(n))) for n in range(30)}
    assert not any(rule.decide(Cohort(curves), trial, epoch) for trial in curves for epoch in early)
    if path.stem == "paper":
        first = math.ceil(phase / 4)
        assert any(rule.decide(Cohort(curves), trial, first) for trial in curves)


def test_a_file_says_what_is_fixed_and_what_varies() -> None:
    space = parse("[study]\nseed = 7\n" + BASE + "semi.steps = 60\n" + EMA)
    assert (space.name, space.seed, space.base.semi.steps) == ("x", 7, 60)
    assert [parameter.path for parameter in space.parameters] == ["semi.ema_decay"]
    assert space.base.pretrain.seed == derive_seeds(7, 0)["pretrain.seed"]
    assert derive_seeds(7, 0) != derive_seeds(7, 1)


def test_a_seed_in_the_base_stays() -> None:
    assert parse(BASE + "semi.seed = 5\n" + EMA).base.semi.seed == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            BASE + EMA.replace("0.99", "1.5"),
            r'x.toml:6: parameters."semi.ema_decay".high: got 1.5, '
            "expected less than 1 with scale = 'log1m'",
        ),
        (
            BASE + EMA.replace("log1m", "linear").replace("0.99", "1.0"),
            'x.toml:6: parameters."semi.ema_decay".high: got 1.0, expected less than 1',
        ),
        (
            BASE + EMA.replace("ema_decay", "ema_decy"),
            'x.toml:3: parameters."semi.ema_decy": there '
            "is no such parameter; did you mean semi.ema_decay?",
        ),
        (
            BASE + EMA.replace("scale", "scal"),
            'x.toml:7: parameters."semi.ema_decay".scal: float '
            "has no such key; it has high, low, scale, step",
        ),
        (
            BASE + EMA.replace('"float"', '"real"'),
            'x.toml:4: parameters."semi.ema_decay".type: got '
            "'real', expected float, int or categorical",
        ),
        (
            BASE + EMA.replace("low = 0.9\n", ""),
            'x.toml:3: parameters."semi.ema_decay".low: got None, expected a number',
        ),
        (
            BASE + EMA.replace("0.99", "0.9"),
            'x.toml:6: parameters."semi.ema_decay".high: got 0.9, expected more than low = 0.9',
        ),
        (
            BASE + "semi.ema_decay = 0.9\n" + EMA,
            'x.toml:4: parameters."semi.ema_decay": is fixed in [base] as well; remove one of them',
        ),
        (
            BASE + "semi.enabled = false\n" + EMA,
            'x.toml:4: parameters."semi.ema_decay": has no effect: semi.enabled = false in [base]',
        ),
        (BASE + "semi.lr = -1\n" + EMA, "x.toml:3: base.semi.lr: got -1, expected greater than 0"),
        (
            BASE + "semi.lrr = 1\n" + EMA,
            "x.toml:3: base.semi.lrr: there is no such parameter; did you mean semi.lr?",
        ),
        (
            '[base]\npreset = "huge"\n' + EMA,
            "x.toml:2: base.preset: got 'huge', expected one of paper, small, tiny",
        ),
        (
            BASE + '[pruner]\nname = "asha"\nfirst = 2\n' + EMA,
            "x.toml:5: pruner.first: there is no such key; search_spaces/README.md lists all",
        ),
        (
            BASE + 'semi.epochs = 8\n[pruner]\nname = "asha"\nfirst_rung = 8\n' + EMA,
            "x.toml:6: pruner.first_rung: got 8, expected less than semi.epochs = 8",
        ),
        (
            BASE + 'semi.epochs = 8\n[pruner]\nname = "patience"\nepochs = 9\n' + EMA,
            "x.toml:6: pruner.epochs: got 9, expected less than semi.epochs = 8",
        ),
        (
            BASE + 'semi.epochs = 8\n[pruner]\nname = "hyperband"\nreduction_factor = 5\n' + EMA,
            "x.toml:6: pruner.reduction_factor: got 5, expected two brackets at least: with "
            "first_rung = 2 the second would begin at epoch 10 of semi.epochs = 8; lower it or "
            "use asha",
        ),
        (
            BASE + '[pruner]\nname = "paired"\n[objective]\nmetric = "val/f_score"\n'
            'direction = "maximize"\n' + EMA,
            "x.toml:4: pruner.name: got 'paired', which compares val/cd_l1 to minimize, with the "
            "objective val/f_score to maximize; change it or use asha",
        ),
        (
            BASE + '[pruner]\nname = "paired"\nalpha = 0.5\n' + EMA,
            "x.toml:5: pruner.alpha: got 0.5, expected less than 0.5",
        ),
        (
            BASE + 'semi.epochs = 8\n[pruner]\nname = "paired"\nfirst_rung = 8\n' + EMA,
            "x.toml:6: pruner.first_rung: got 8, expected less than semi.epochs = 8",
        ),
        (
            BASE + '[pruner]\nname = "paired"\n' + NUM_VAL,
            'x.toml:5: parameters."data.num_val_models": trials of the paired test must share '
            "their models; fix it or name it in strata",
        ),
        (
            BASE + '[pruner]\nname = "patience"\nmin_delta = -0.1\n' + EMA,
            "x.toml:5: pruner.min_delta: got -0.1, expected greater than or equal to 0",
        ),
        (
            BASE + '[pruner]\nname = "hyperband"\nbrackets = 9\n' + EMA,
            "x.toml:5: pruner.brackets: there is no such key; search_spaces/README.md lists all",
        ),
        (
            BASE + '[sampler]\nname = "gpp"\n' + EMA,
            "x.toml:3: sampler: got name 'gpp', expected 'tpe', 'random', "
            "'gp', 'nsgaii', 'nsgaiii', 'qmc', 'grid'",
        ),
        (
            BASE + "[budget]\ntrials = 0\n" + EMA,
            "x.toml:4: budget.trials: got 0, expected greater than or equal to 1",
        ),
        (
            BASE + "[budget]\nhours = 0\n" + EMA,
            "x.toml:4: budget.hours: got 0, expected greater than 0",
        ),
        (
            BASE + "[budget]\ndevice_hours = inf\n" + EMA,
            "x.toml:4: budget.device_hours: got inf, expected a finite number",
        ),
        (
            BASE + "[budget]\ntarget = nan\n" + EMA,
            "x.toml:4: budget.target: got nan, expected a finite number",
        ),
        (
            BASE + "[budget]\nplateau = 0\n" + EMA,
            "x.toml:4: budget.plateau: got 0, expected greater than or equal to 1",
        ),
        (
            "stratum = []\n" + BASE + EMA,
            "x.toml:1: stratum: there is no such key; search_spaces/README.md lists all",
        ),
        (
            'strata = ["semi.ema_decay"]\n' + BASE + EMA,
            "x.toml:1: strata: got 'semi.ema_decay', expected parameters of type categorical",
        ),
        (
            BASE + '[parameters."model.num_heads"]\ntype = "categorical"\nchoices = [4, 5]\n',
            'x.toml:5: parameters."model.num_heads".choices: got 5, expected a divisor of '
            "model.width = 32",
        ),
        (
            '[objective]\nmetric = "val/cdl1"\n' + BASE + EMA,
            "x.toml:2: objective.metric: got 'val/cdl1', expected one of val/cd_l1, "
            "val/cd_l1_sum, val/cd_l1_category_mean, val/cd_l1_teacher, val/gain, "
            "val/cd_pred_to_gt, val/cd_gt_to_pred, val/cd_l2, val/f_score, model/parameters, "
            "system/latency_ms, system/memory_mib, system/epoch_s; "
            "did you mean val/cd_l1?",
        ),
        (
            BASE + "model.width = 64\n" + HEADS,
            'x.toml:4: parameters."model.num_heads": got 3, expected a divisor of model.width = 64',
        ),
        (
            BASE + "model.width = 64\n" + HEADS.replace("high = 8", "high = 3"),
            'x.toml:7: parameters."model.num_heads".high: got 3, expected a divisor of '
            "model.width = 64",
        ),
        (
            BASE + "data.num_target_points = 64\n" + BACKBONES + MODES,
            "x.toml:9: parameters.\"semi.bn_mode\".choices: got 'train', expected 'frozen' "
            "with model.backbone = 'cnn', which has no batch norm",
        ),
        (
            '[study]\nname = "A b"\n' + BASE + EMA,
            "x.toml:2: study.name: got 'A b', expected 1 to 48 of a-z, 0-9 and '-'",
        ),
    ],
)
def test_every_mistake_is_told_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert str(caught.value) == message


def test_pairs_that_do_not_fit_are_found() -> None:
    widths = '[parameters."model.width"]\ntype = "categorical"\nchoices = [32, 48]\n'
    heads = '[parameters."model.num_heads"]\ntype = "categorical"\nchoices = [1, 32]\n'
    with pytest.raises(ConfigError, match=r"num_heads.*got 32, expected a divisor .* = 48"):
        parse(BASE + widths + heads)


def test_only_what_a_step_reaches_must_fit() -> None:
    space = parse(BASE + HEADS.replace("low = 1", "low = 2").replace("8", "9") + "step = 6\n")
    assert [value for _, value in space.parameters[0].range.probes()] == [2, 8]


def test_of_a_very_long_range_an_even_sample_with_both_ends_is_tried() -> None:
    values = [value for _, value in IntRange(1, 10**9).probes()]
    assert (len(values), values[0], values[-1]) == (1000, 1, 10**9)
    gaps = {b - a for a, b in itertools.pairwise(values)}
    assert max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize(
    ("steps", "high", "is_late"),
    [(400, 0.99, False), (396, 0.99, True), (400, 0.995, True), (20000, 0.9998, False)],
)
def test_a_teacher_that_hardly_moves_is_noted(steps: int, high: float, is_late: bool) -> None:
    text = BASE + f"semi.steps = {steps}\n" + EMA.replace("0.99", str(high))
    space = parse(text)
    assert bool(late_teacher(space.base, space.parameters)) == is_late


def test_strata_take_turns_over_all_combinations() -> None:
    ratio = '[parameters."data.labeled_ratio"]\ntype = "categorical"\nchoices = [0.1, 0.5]\n'
    heads = '[parameters."model.num_heads"]\ntype = "categorical"\nchoices = [1, 2]\n'
    space = parse('strata = ["data.labeled_ratio", "model.num_heads"]\n' + BASE + ratio + heads)
    turns = [tuple(space.stratum(number).values()) for number in range(5)]
    assert turns == [(0.1, 1), (0.1, 2), (0.5, 1), (0.5, 2), (0.1, 1)]
    assert count_shared(space, "pretrain") == 4


def test_a_continuous_parameter_of_pretraining_is_noticed() -> None:
    space = parse(BASE + '[parameters."pretrain.lr"]\ntype = "float"\nlow = 1e-4\nhigh = 1e-2\n')
    assert count_shared(space, "pretrain") is None
    assert keyed_ranges(space, "pretrain") == ["pretrain.lr"]


def test_a_stored_space_keeps_the_keywords_it_began_with() -> None:
    space = parse(BASE + EMA)
    pinned = space.sampler.model_dump() | {"n_startup_trials": 4}
    spec = {"name": "x", "seed": 0, "space": space.text, "sampler": pinned}
    assert stored_space(spec).sampler.model_dump() == pinned
    assert stored_space(spec).pruner == space.pruner
