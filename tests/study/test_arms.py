"""Arms, replicates and controls of a search space."""

from __future__ import annotations

import pytest

from ss3d.errors import ConfigError
from ss3d.study.proposals import propose
from ss3d.study.sharing import count_shared, keyed_ranges
from ss3d.study.space import Space, derive_seeds, parse_space
from ss3d.study.toml_lines import TomlFile

STUDY = "[study]\nseed = 7\nreplicates = 2\n"
BASE = '[base]\npreset = "tiny"\n'
ARMS = """
[[arms]]
name = "paper"

[[arms]]
name = "no attention"
model.use_hfa = false

[[arms]]
name = "no smoothing"
semi.unsup_eps = 0.0
"""
EMA = '[parameters."semi.ema_decay"]\ntype = "float"\nlow = 0.9\nhigh = 0.99\n'
LR = '[parameters."semi.lr"]\ntype = "float"\nlow = 1e-5\nhigh = 1e-3\nscale = "log"\n'
HEADS = '[parameters."model.num_heads"]\ntype = "categorical"\nchoices = [1, 2, 4]\n'


def parse(text: str) -> Space:
    return parse_space(TomlFile(text, "x.toml"), "x")


def test_trials_take_every_arm_of_every_replicate_in_turn() -> None:
    space = parse(STUDY + BASE + ARMS)
    assert space.num_trials == 6
    taken = [(s["replicate"], s["arm"]) for s in (space.stratum(n) for n in range(6))]
    names = ("paper", "no attention", "no smoothing")
    assert taken == [(replicate, name) for replicate in range(2) for name in names]


def test_an_arm_sets_its_values_and_a_replicate_its_seeds() -> None:
    space = parse(STUDY + BASE + ARMS)
    config = space.configure({"arm": "no attention", "replicate": 1})
    seeds = {path: config.flatten()[path] for path in derive_seeds(7, 1)}
    assert seeds == derive_seeds(7, 1)
    assert not config.model.use_hfa
    assert space.configure({"arm": "paper", "replicate": 0}) == space.base


def test_a_seed_that_the_base_fixes_is_the_same_in_all_replicates() -> None:
    space = parse(STUDY + BASE + "data.split_seed = 3\n" + ARMS)
    configs = [space.configure({"arm": "paper", "replicate": r}) for r in range(2)]
    assert [config.data.split_seed for config in configs] == [3, 3]
    assert configs[0].semi.seed != configs[1].semi.seed


def test_a_sampler_chooses_the_rest() -> None:
    space = parse(STUDY + BASE + ARMS + EMA)
    assert space.num_trials == 32
    proposal = propose(space, [], 4)
    assert (proposal.params["arm"], proposal.params["replicate"]) == ("no attention", 1)
    assert 0.9 <= float(proposal.params["semi.ema_decay"]) <= 0.99
    assert list(proposal.params) == ["semi.ema_decay", "replicate", "arm"]


def test_controls_are_counted_by_what_still_acts_in_them() -> None:
    space = parse("controls = true\n" + STUDY + BASE + ARMS)
    assert count_shared(space, "pretrain") == 4  # no smoothing acts in the second phase only
    assert count_shared(space, "control") == 4  # ... and on unlabeled images only
    assert count_shared(parse(STUDY + BASE + ARMS), "control") == 0


def test_searched_parameters_multiply_the_controls_unless_they_act_on_unlabeled_images() -> None:
    text = "controls = true\n" + BASE
    assert count_shared(parse(text + EMA + HEADS), "control") == 3
    searched = parse(text + LR + EMA)
    assert count_shared(searched, "control") is None
    assert keyed_ranges(searched, "control") == ["semi.lr"]
    assert keyed_ranges(searched, "pretrain") == []


def test_a_trial_that_ends_with_its_pretrained_state_needs_no_control() -> None:
    arm = '\n[[arms]]\nname = "none"\nsemi.enabled = false\n'
    assert count_shared(parse("controls = true\n" + STUDY + BASE + ARMS + arm), "control") == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            BASE + "[[arms]]\nname = 'a'\n[[arms]]\nname = 'a'\n",
            "x.toml:6: arms.1.name: got 'a', expected a text of 1 to 48 letters that no other arm",
        ),
        (BASE + "[[arms]]\nmodel.use_hfa = false\n", "x.toml:3: arms.0.name: got None, expected"),
        (
            BASE + "[[arms]]\nname = 'a'\n[[arms]]\nname = 'b'\nmodel.use_hfaa = false\n",
            "x.toml:7: arms.1.model.use_hfaa: there is no such parameter; did you mean",
        ),
        (
            BASE + "[[arms]]\nname = 'a'\nsemi.ema_decay = 1.5\n",
            "x.toml:5: arms.0.semi.ema_decay: got 1.5, expected less than 1",
        ),
        (
            BASE + "[[arms]]\nname = 'a'\nsemi.ema_decay = 0.5\n" + EMA,
            "x.toml:5: arms.0.semi.ema_decay: is in [parameters] as well",
        ),
        (
            STUDY + BASE + "data.split_seed = 1\npretrain.seed = 1\nsemi.seed = 1\n",
            "x.toml:3: study.replicates: has no effect: all seeds are fixed in [base]",
        ),
    ],
)
def test_what_cannot_be_is_named_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(text)
    assert str(error.value).startswith(message)
