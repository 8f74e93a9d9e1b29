from __future__ import annotations

from dataclasses import replace

import pytest
from optuna.trial import FrozenTrial, TrialState

from ss3d.errors import ConfigError
from ss3d.study.frozen import frozen_trial
from ss3d.study.parameter import IntRange, Parameter
from ss3d.study.proposals import Proposal, propose
from ss3d.study.space import Space, parse_space
from ss3d.study.toml_lines import TomlFile
from ss3d.trial.objectives import objectives_of
from ss3d.trial.records import EpochReport, TrialResult, TrialSpec, TrialStatus

METRIC = "val/cd_l1"
OBJECTIVES = objectives_of({})
TEXT = """
strata = ["data.labeled_ratio"]
[study]
seed = 3
[base]
preset = "tiny"
[sampler]
name = "tpe"
n_startup_trials = 3
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
step = 2
[parameters."data.labeled_ratio"]
type = "categorical"
choices = [0.1, 0.5]
"""


@pytest.fixture(scope="module")
def space() -> Space:
    return parse_space(TomlFile(TEXT, "x.toml"), "x")


def seal(space: Space, number: int, proposal: Proposal) -> TrialSpec:
    return TrialSpec(
        study="x",
        trial=f"t{number:05d}",
        params=proposal.params,
        distributions=proposal.distributions,
        stratum=space.stratum(number),
        config=space.configure(proposal.params),
        pretrain_key="k",
        code_version="c",
        data_hash="d",
        versions={},
        attrs={"internal": proposal.internal, "system": proposal.system_attrs},
        proposed_at=0.0,
    )


def finish(spec: TrialSpec, state: TrialStatus, *values: float) -> TrialResult:
    reports = tuple(
        EpochReport(
            phase="semi", epoch=epoch, step=0, metrics={METRIC: value}, system={}, digest=""
        )
        for epoch, value in enumerate(values)
    )
    return TrialResult(
        study="x",
        trial=spec.trial,
        state=state,
        values={METRIC: values[-1]} if values else {},
        reports=reports,
        seconds=0.0,
        attempt=1,
        reason="",
        finished_at=0.0,
    )


def run(space: Space, count: int) -> list[TrialSpec]:
    """Propose trials that are best at aug_strength 0.7; every third is pruned."""
    specs: list[TrialSpec] = []
    history: list[FrozenTrial] = []
    for number in range(count):
        spec = seal(space, number, propose(space, history, number))
        value = abs(spec.params["semi.aug_strength"] - 0.7) + spec.params["data.labeled_ratio"]
        result = finish(spec, "pruned" if number % 3 == 2 else "complete", 9.0, value + 0.1, value)
        specs.append(TrialSpec.from_json(spec.to_json()))
        history.append(frozen_trial(specs[-1], TrialResult.from_json(result.to_json()), OBJECTIVES))
    return specs


def test_the_same_history_gives_the_same_proposals(space: Space) -> None:
    assert [spec.params for spec in run(space, 14)] == [spec.params for spec in run(space, 14)]


def test_a_proposal_is_valid_and_in_its_stratum(space: Space) -> None:
    for number, spec in enumerate(run(space, 10)):
        assert spec.params["data.labeled_ratio"] == [0.1, 0.5][number % 2]
        assert 0.9 <= spec.params["semi.ema_decay"] <= 0.999
        assert spec.params["semi.unlabeled_batch"] in (2, 4, 6, 8)
        assert spec.config.semi.ema_decay == spec.params["semi.ema_decay"]
        kept = spec.attrs["internal"]["semi.ema_decay"]
        assert kept == pytest.approx(1 - spec.params["semi.ema_decay"])


def test_log1m_is_uniform_in_the_logarithm_of_what_is_left(space: Space) -> None:
    decays = [propose(space, [], n).params["semi.ema_decay"] for n in range(200)]
    share = sum(float(decay) > 0.99 for decay in decays) / len(decays)
    assert share == pytest.approx(0.5, abs=0.1)  # [0.9, 0.99] and [0.99, 0.999] are a decade each


def test_trials_of_other_strata_do_not_matter(space: Space) -> None:
    first = run(space, 12)
    own = [finish(spec, "complete", 1.0, 2.0) for spec in first]
    history = [frozen_trial(s, r, OBJECTIVES) for s, r in zip(first, own, strict=True)]
    other = [
        frozen_trial(spec, finish(spec, "complete", 1.0, 99.0 - n), OBJECTIVES) if n % 2 else trial
        for n, (spec, trial) in enumerate(zip(first, history, strict=True))
    ]
    assert propose(space, history, 12).params == propose(space, other, 12).params
    assert propose(space, history, 13).params != propose(space, other, 13).params


def test_running_trials_are_seen(space: Space) -> None:
    specs = run(space, 12)
    history = [frozen_trial(s, finish(s, "complete", 1.0, 2.0), OBJECTIVES) for s in specs[:8]]
    live = [frozen_trial(spec, None, OBJECTIVES) for spec in specs[8:]]
    assert {trial.state for trial in live} == {TrialState.RUNNING}
    assert propose(space, history + live, 12).params != propose(space, history, 12).params


def test_tpe_keeps_away_from_what_was_too_large(space: Space) -> None:
    """As with trials pruned for violating a constraint: by Optuna's own rule they are bad."""
    specs = run(space, 24)
    history = [frozen_trial(s, finish(s, "complete", 1.0, 2.0), OBJECTIVES) for s in specs]

    def share_of_large(is_told: bool) -> float:
        known = list(history)
        for number, spec in enumerate(specs):
            if spec.params["semi.unlabeled_batch"] == 8:
                ended = finish(spec, "failed")
                ended = ended.model_copy(update={"is_too_large": is_told})
                known[number] = frozen_trial(spec, ended, OBJECTIVES)
        asked = [propose(space, known, 24 + n).params for n in range(60)]
        return sum(params["semi.unlabeled_batch"] == 8 for params in asked) / len(asked)

    assert share_of_large(is_told=True) < 0.6 * share_of_large(is_told=False)


def test_optuna_knows_failed_pruned_and_complete(space: Space) -> None:
    spec = run(space, 1)[0]
    failed = frozen_trial(spec, finish(spec, "failed"), OBJECTIVES)
    pruned = frozen_trial(spec, finish(spec, "pruned", 9.0, 3.0, 2.5), OBJECTIVES)
    assert (failed.state, failed.value) == (TrialState.FAIL, None)
    assert (pruned.state, pruned.value) == (TrialState.PRUNED, 2.5)
    assert pruned.intermediate_values == {1: 3.0, 2: 2.5}  # epoch 0 is the pretrained value


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp", "nsgaii", "nsgaiii", "qmc"])
def test_values_that_do_not_fit_are_asked_again_and_the_same_way(sampler: str) -> None:
    text = f'[base]\npreset = "tiny"\n[sampler]\nname = "{sampler}"\n'
    unchecked = replace(
        parse_space(TomlFile(text, "x.toml"), "x"),
        parameters=(Parameter("model.num_heads", IntRange(1, 64)),),
    )
    found = [propose(unchecked, [], number) for number in range(12)]
    heads = {proposal.params["model.num_heads"] for proposal in found}
    assert heads <= {1, 2, 4, 8, 16, 32}
    assert len(heads) > 2
    assert found == [propose(unchecked, [], number) for number in range(12)]


def test_a_space_without_any_value_that_fits_is_told(space: Space) -> None:
    unchecked = replace(
        space, strata=({},), parameters=(Parameter("model.num_heads", IntRange(9, 15)),)
    )
    with pytest.raises(ConfigError, match=r"no values that fit .* divisor of model.width = 32"):
        propose(unchecked, [], 0)
