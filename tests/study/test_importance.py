"""Which parameters decided: planted ones are found, luck is called luck."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, distribution_to_json
from study_records import make_reports
from typer.testing import CliRunner

from ss3d.cli.main import app
from ss3d.config import TrialConfig, canonical_json
from ss3d.errors import ConfigError
from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.study.importance import importances
from ss3d.trial.records import StudyRecord, TrialRecord, TrialResult, TrialSpec

DISTRIBUTIONS = {
    "semi.lr": FloatDistribution(0.0, 1.0),
    "semi.fp_magnitude": FloatDistribution(0.0, 1.0),
    "data.labeled_ratio": CategoricalDistribution([0.1, 0.2]),
}
CONFIG = TrialConfig.from_preset("tiny")


def make_study(
    count: int,
    value: Callable[[dict[str, float]], float],
    direction: str = "minimize",
    strata: bool = False,
    states: tuple[str, ...] = ("complete",),
) -> StudyRecord:
    """A study of random trials whose value is a function of their parameters."""
    random = np.random.default_rng(1)
    trials = []
    for number in range(count):
        params: dict[str, float] = {path: float(random.random()) for path in DISTRIBUTIONS}
        params["data.labeled_ratio"] = (0.1, 0.2)[number % 2]
        stratum = {"data.labeled_ratio": params["data.labeled_ratio"]} if strata else {}
        state = states[number % len(states)]
        trials.append(_trial(number, params, stratum, state, value(params)))
    objective = {"metric": "val/cd_l1", "direction": direction}
    return StudyRecord(name="demo", spec={"objective": objective}, trials=tuple(trials), shared=())


def _trial(
    number: int, params: dict[str, float], stratum: dict[str, float], state: str, value: float
) -> TrialRecord:
    spec = TrialSpec(
        study="demo",
        trial=layout.trial_id(number),
        params=params,
        distributions={path: distribution_to_json(d) for path, d in DISTRIBUTIONS.items()},
        stratum=stratum,
        config=CONFIG,
        pretrain_key="k" * 64,
        code_version="",
        data_hash="d",
        versions={},
        attrs={"internal": params, "system": {}},
        proposed_at=0.0,
    )
    result = TrialResult.model_validate(
        {
            "study": "demo",
            "trial": spec.trial,
            "state": state,
            "values": {} if state == "failed" else {"val/cd_l1": value},
            "reports": tuple(make_reports(1)),
            "seconds": 1.0,
            "attempt": 1,
            "reason": "",
            "finished_at": 0.0,
        }
    )
    return TrialRecord(spec=spec, result=result, reports=result.reports)


@pytest.mark.parametrize(("direction", "sign"), [("minimize", 1), ("maximize", -1)])
def test_the_parameter_that_decides_is_found(direction: str, sign: int) -> None:
    study = make_study(60, lambda p: sign * (p["semi.lr"] - 0.3) ** 2, direction)
    (found,) = importances(study)
    first, *others = found.parameters
    assert (found.num_trials, found.num_top) == (60, 6)
    assert first.path == "semi.lr"
    assert first.share > 0.6
    assert first.is_clear
    assert not any(other.is_clear for other in others)
    assert sum(p.share for p in found.parameters) == pytest.approx(1)


def test_the_direction_matters() -> None:
    value = {"minimize": 0.0, "maximize": 0.0}
    for direction in value:
        study = make_study(60, lambda p: max(p["semi.lr"], 0.5) + p["semi.lr"] * 1e-6, direction)
        (found,) = importances(study)
        value[direction] = {p.path: p.share for p in found.parameters}["semi.lr"]
    assert value["minimize"] != value["maximize"]


def test_of_several_objectives_the_primary_one_counts() -> None:
    study = make_study(30, lambda p: p["semi.lr"])
    other = {"metric": "val/f_score", "direction": "maximize"}
    several = study.model_copy(update={"spec": {"objective": [study.spec["objective"], other]}})
    assert importances(several) == importances(study)


def test_few_trials_rest_on_five_of_them() -> None:
    (found,) = importances(make_study(10, lambda p: p["semi.fp_magnitude"]))
    assert (found.num_trials, found.num_top) == (10, 5)
    assert found.parameters[0].path == "semi.fp_magnitude"


def test_pruned_trials_count_and_failed_ones_do_not() -> None:
    study = make_study(30, lambda p: p["semi.lr"], states=("complete", "pruned", "failed"))
    (found,) = importances(study)
    assert found.num_trials == 20


def test_strata_are_kept_apart_and_are_no_parameters() -> None:
    def value(params: dict[str, float]) -> float:
        path = "semi.lr" if params["data.labeled_ratio"] == 0.1 else "semi.fp_magnitude"
        return params[path] + 100 * params["data.labeled_ratio"]

    tenth, fifth = importances(make_study(80, value, strata=True))
    assert tenth.stratum == {"data.labeled_ratio": 0.1}
    assert [p.path for p in tenth.parameters] == ["semi.lr", "semi.fp_magnitude"]
    assert [p.path for p in fifth.parameters] == ["semi.fp_magnitude", "semi.lr"]
    (pooled,) = importances(make_study(80, value))
    assert {p.path for p in pooled.parameters if p.is_clear} == {"semi.lr", "data.labeled_ratio"}


def test_too_few_trials_are_refused() -> None:
    message = r"demo has 9 complete or pruned trials in its largest stratum, expected at least 10"
    with pytest.raises(ConfigError, match=message):
        importances(make_study(18, lambda p: p["semi.lr"], strata=True))
    with pytest.raises(ConfigError, match="has 0 complete or pruned"):
        importances(make_study(12, lambda p: p["semi.lr"], states=("failed",)))


def test_a_study_in_which_nothing_varies_is_refused() -> None:
    study = make_study(12, lambda p: p["semi.lr"])
    params = study.trials[0].spec.params
    fixed = tuple(
        t.model_copy(
            update={
                "spec": t.spec.model_copy(
                    update={"params": params, "attrs": {"internal": params, "system": {}}}
                )
            }
        )
        for t in study.trials
    )
    with pytest.raises(ConfigError, match="nothing varies within a stratum of study demo"):
        importances(study.model_copy(update={"trials": fixed}))


def test_the_command_prints_text_and_json(tmp_path) -> None:
    store = DirectoryStore(tmp_path / "store")
    study = make_study(20, lambda p: p["semi.lr"])
    store.put_new(layout.study("demo", "study.json"), canonical_json(study.spec).encode())
    for trial in study.trials:
        assert trial.result is not None
        name = trial.spec.trial
        store.put_new(layout.trial("demo", name, "spec.json"), trial.spec.to_json())
        store.put_new(layout.trial("demo", name, "result.json"), trial.result.to_json())
    words = ["importance", "demo", "--store", store.address]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0
    assert "best 5 of 20 trials" in result.output
    found = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    (stratum,) = found["strata"]
    assert stratum["trials"] == 20
    assert stratum["parameters"][0]["path"] == "semi.lr"
