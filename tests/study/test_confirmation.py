"""The search space of a confirmation: the sealed trials with other seeds, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from ss3d.config import PRESETS, TrialConfig
from ss3d.errors import ConfigError, RefusedError
from ss3d.store.layout import trial_id
from ss3d.study.arms import SEEDS, derive_seeds
from ss3d.study.confirmation import (
    MOST_SEEDS,
    check_confirmation,
    choose_trials,
    confirmation_text,
)
from ss3d.study.proposals import propose
from ss3d.study.space import Space, parse_space
from ss3d.study.toml_lines import TomlFile
from ss3d.trial.records import StudyRecord, TrialRecord, TrialResult, TrialSpec

SEED = 7
SPLIT = derive_seeds(SEED, 0)["data.split_seed"]


def trial(number: int, value: float, state: str = "complete", **more: Any) -> TrialRecord:
    """A finished trial of the tiny preset with other values."""
    seeds = derive_seeds(SEED, more.get("replicate", 0))
    preset = more.get("preset", "tiny")
    spec = TrialSpec(
        study="demo",
        trial=trial_id(number),
        params=more.get("params", {}),
        distributions={},
        stratum=more.get("stratum", {}),
        config=TrialConfig.from_preset(preset).override({**seeds, **more.get("params", {})}),
        pretrain_key="p",
        code_version="",
        data_hash="d",
        versions={},
        attrs={},
        proposed_at=0.0,
    )
    result = TrialResult.model_validate(
        {
            "study": "demo",
            "trial": spec.trial,
            "state": state,
            "values": {"val/cd_l1": value},
            "reports": (),
            "seconds": 0.0,
            "attempt": 1,
            "reason": "",
            "finished_at": 0.0,
        }
    )
    return TrialRecord(spec=spec, result=result, reports=())


def study(*trials: TrialRecord) -> StudyRecord:
    spec = {
        "name": "demo",
        "seed": SEED,
        "objective": {"metric": "val/cd_l1", "direction": "minimize"},
        "resources": {"cpus": 2, "pretrain": {"cpus": 4}},
    }
    return StudyRecord(name="demo", spec=spec, trials=trials, shared=())


def names(trials: list[TrialRecord]) -> list[str]:
    return [one.spec.trial for one in trials]


def space_of(record: StudyRecord, chosen: list[TrialRecord], seeds: int = 3) -> Space:
    text = confirmation_text(record, chosen, seeds, "demo-confirm")
    return parse_space(TomlFile(text, "demo-confirm.toml"), "demo-confirm")


def lr(value: float) -> dict[str, Any]:
    return {"params": {"semi.lr": value}}


def test_the_best_complete_trials_of_each_stratum_are_chosen() -> None:
    few, many = {"stratum": {"data.labeled_ratio": 0.1}}, {"stratum": {"data.labeled_ratio": 0.2}}
    record = study(
        trial(0, 5.0, **lr(1e-4), **few),
        trial(1, 4.0, **lr(2e-4), **few),
        trial(2, 3.0, "pruned", **lr(3e-4), **few),
        trial(3, 6.0, **lr(4e-4), **few),
        trial(4, 2.0, **lr(5e-4), **many),
    )
    assert names(choose_trials(record, 2, {})) == ["t00001", "t00000", "t00004"]
    assert names(choose_trials(record, 9, {"data.labeled_ratio": 0.2})) == ["t00004"]


def test_trials_that_differ_in_their_seeds_alone_are_one() -> None:
    record = study(trial(0, 5.0), trial(1, 4.0), trial(2, 4.5, **lr(1e-4)))
    assert names(choose_trials(record, 3, {})) == ["t00001", "t00002"]


def test_nothing_to_confirm_is_said() -> None:
    record = study(trial(0, 5.0, "pruned"), trial(1, 5.0, params={"semi.lr": 1e-4}))
    with pytest.raises(ConfigError, match="study demo has no complete trial to confirm"):
        choose_trials(study(trial(0, 5.0, "failed")), 3, {})
    with pytest.raises(ConfigError, match=r"no complete trial with semi.lr = 0.5 to confirm"):
        choose_trials(record, 3, {"semi.lr": 0.5})
    with pytest.raises(ConfigError, match=r"--where: semi.lrr is no parameter"):
        choose_trials(record, 3, {"semi.lrr": 0.5})


@pytest.mark.parametrize("preset", PRESETS)
def test_arms_are_the_sealed_configurations_with_other_seeds(preset: str) -> None:
    chosen = [
        trial(0, 5.0, preset=preset, params={"data.categories": ['a "b" é', "c"], "semi.lr": 1e-5}),
        trial(1, 5.0, preset=preset, params={"model.num_decoder_heads": 4, "semi.lr": 1e-30}),
        trial(2, 5.0, preset=preset, params={"model.num_decoder_heads": None, "data.flip": True}),
    ]
    space = space_of(study(*chosen), chosen)
    for replicate in range(3):
        seeds = set()
        for one in chosen:
            arm = {"arm": one.spec.trial, "replicate": replicate}
            config, sealed = space.configure(arm), one.spec.config
            drawn = {path: config.flatten()[path] for path in SEEDS}
            assert config.override({path: sealed.flatten()[path] for path in SEEDS}) == sealed
            assert drawn.pop("data.split_seed") == SPLIT
            assert all(value != sealed.flatten()[path] for path, value in drawn.items())
            seeds.add(tuple(drawn.values()))
        assert len(seeds) == 1  # common random numbers


def test_each_replicate_has_its_own_seeds_and_each_trial_its_own_split() -> None:
    chosen = [trial(0, 5.0), trial(1, 4.0, replicate=1)]
    space = space_of(study(*chosen), chosen)
    arms = [{"arm": "t00001", "replicate": replicate} for replicate in range(MOST_SEEDS)]
    configs = [space.configure(arm) for arm in arms]
    assert len({config.semi.seed for config in configs}) == MOST_SEEDS
    assert len({config.pretrain.seed for config in configs}) == MOST_SEEDS
    splits = {config.data.split_seed for config in configs}
    assert splits == {chosen[1].spec.config.data.split_seed} != {SPLIT}


def test_the_budget_runs_all_arms_of_a_replicate_before_the_next() -> None:
    chosen = [trial(1, 4.0, **lr(1e-4)), trial(0, 5.0)]
    space = space_of(study(*chosen), chosen, seeds=2)
    assert (space.num_trials, space.confirms, space.resources.cpus) == (4, "demo", 2)
    assert space.resources.of("pretrain").cpus == 4
    taken = [propose(space, [], number).params for number in range(space.num_trials)]
    assert [(p["replicate"], p["arm"]) for p in taken] == [
        (0, "t00001"), (0, "t00000"), (1, "t00001"), (1, "t00000")
    ]  # fmt: skip


def test_another_study_under_the_name_is_refused() -> None:
    chosen = [trial(0, 5.0)]
    spec = {"name": "other", "confirms": "demo", "arms": [{"name": "t00000"}]}
    check_confirmation(spec, "demo", chosen)
    check_confirmation(spec, "demo", None)
    with pytest.raises(RefusedError, match="confirms t00000, now t00001 are asked for"):
        check_confirmation(spec, "demo", [trial(1, 5.0)])
    with pytest.raises(RefusedError, match="study other confirms demo; choose another --name"):
        check_confirmation(spec, "quick", None)
    with pytest.raises(RefusedError, match="study other confirms no other"):
        check_confirmation({"name": "other", "arms": []}, "demo", None)
