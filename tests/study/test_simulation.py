"""Studies in simulated time: by hand, and by what must hold whatever the curves are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ss3d.errors import RefusedError
from ss3d.study import tables
from ss3d.study.nearest import Nearest
from ss3d.study.proposals import propose
from ss3d.study.replayed import Summary, bests_of, summarize
from ss3d.study.simulation import InOrder, Outcome, Simulation
from ss3d.study.space import Space
from ss3d.study.synthetic import synthetic_space, synthetic_study
from ss3d.trial.records import EpochReport, StudyRecord, TrialRecord

METRIC = "val/cd_l1"
PRUNERS: tuple[tables.Pruner, ...] = (
    tables.Asha(reduction_factor=2),
    tables.Hyperband(name="hyperband"),
    tables.Median(name="median"),
    tables.Patience(name="patience", epochs=2, min_delta=0.2),
    tables.NoPruner(name="none"),
)


def simulate(
    study: StudyRecord, slots: int, pruner: tables.Pruner, space: Space | None = None
) -> Outcome:
    space = replace(space or synthetic_space(), pruner=pruner)
    return Simulation(study, space, len(study.trials), slots, InOrder(study.trials)).run()


def by_hand(curves: Sequence[Sequence[float]], seconds: Sequence[float]) -> StudyRecord:
    """One stratum and one pretrained state of 3 s; epoch 0 is 9 and takes no time."""
    study = synthetic_study(len(curves))
    first = study.trials[0].spec

    def report(epoch: int, value: float, epoch_s: float) -> EpochReport:
        metrics, system = {METRIC: value}, {"epoch_s": epoch_s}
        return (
            study.shared[0]
            .reports[0]
            .model_copy(
                update={"phase": "semi", "epoch": epoch, "metrics": metrics, "system": system}
            )
        )

    trials = []
    for number, (curve, epoch_s) in enumerate(zip(curves, seconds, strict=True)):
        reports = (
            report(0, 9.0, 0.0),
            *(report(epoch, value, epoch_s) for epoch, value in enumerate(curve, start=1)),
        )
        spec = study.trials[number].spec.model_copy(
            update={"stratum": {}, "pretrain_key": first.pretrain_key}
        )
        result = study.trials[number].result.model_copy(
            update={"reports": reports, "values": {METRIC: curve[-1]}}
        )
        trials.append(TrialRecord(spec=spec, result=result, reports=reports))
    pretrain = study.shared[0].model_copy(
        update={"reports": (report(1, 9.0, 3.0),), "key": first.pretrain_key}
    )
    return study.model_copy(update={"trials": tuple(trials), "shared": (pretrain,)})


def ends(outcome: Outcome) -> list[tuple[str, str, int, float]]:
    return [
        (end.source, end.result.state, end.result.reports[-1].epoch, end.at_s)
        for end in outcome.ends
    ]


def test_two_slots_without_stopping_take_the_time_that_a_hand_finds() -> None:
    curves = [[5.0, 4.0], [6.0, 3.0], [7.0, 2.0]]
    outcome = simulate(by_hand(curves, [1.0, 2.5, 4.0]), 2, tables.NoPruner(name="none"))
    # 3 s of pretraining; then t0 runs 3 to 5, t1 beside it 3 to 8, t2 in t0's slot 5 to 13
    assert ends(outcome) == [
        ("t00000", "complete", 2, 5.0),
        ("t00001", "complete", 2, 8.0),
        ("t00002", "complete", 2, 13.0),
    ]
    assert (outcome.makespan_s, outcome.most_at_once) == (13.0, 2)
    assert outcome.seconds == {"pretrain": 3.0, "trial": 2.0 + 5.0 + 8.0, "control": 0.0}


def test_pretrainings_of_a_whole_gpu_among_trials_of_a_third_come_to_their_turn() -> None:
    study, plain = synthetic_study(30), synthetic_space()
    whole = tables.Resources(gpus=0.3333, pretrain=tables.Share(gpus=1))
    space = replace(plain, resources=whole)
    pruner = tables.NoPruner(name="none")
    outcome, before = (simulate(study, 3, pruner, space=each) for each in (space, plain))
    assert {end[1] for end in ends(outcome)} == {"complete"}
    assert len(outcome.ends) == 30
    assert outcome.seconds == before.seconds
    assert outcome.makespan_s > before.makespan_s
    used = outcome.seconds["trial"] + 3 * outcome.seconds["pretrain"]
    summary = summarize("", outcome, study, space, {})
    assert summary.utilization == pytest.approx(used / (3 * outcome.makespan_s))
    assert summary.utilization <= 1


def test_asha_stops_whom_the_rule_stops_by_hand() -> None:
    curves = [[5.0, 4.0, 3.0], [6.0, 3.0, 1.0], [4.0, 4.5, 2.0]]
    pruner = tables.Asha(first_rung=1, reduction_factor=2)
    study = by_hand(curves, [1.0, 1.5, 2.0])
    outcome = simulate(study, 2, pruner)
    # At rung 1: t0's 5 at 4 s leads, t1's 6 at 4.5 s is second of two, t2's 4 at 6.5 s leads.
    # At rung 2: t0's 4 at 5 s leads, t2's 4.5 at 8.5 s is second of two.
    assert ends(outcome) == [
        ("t00001", "pruned", 1, 4.5),
        ("t00000", "complete", 3, 6.0),
        ("t00002", "pruned", 2, 8.5),
    ]
    assert {key: (d.stop, d.rank, d.cutoff) for key, d in outcome.decisions.items()} == {
        ("t00000", 1): (False, 1, 5.0),
        ("t00001", 1): (True, 2, 5.0),
        ("t00000", 2): (False, 1, 4.0),
        ("t00002", 1): (False, 1, 4.0),
        ("t00002", 2): (True, 2, 4.0),
    }
    summary = told(study, outcome)
    assert (summary.target_s, summary.best[0].value) == (6.0, 3.0)
    assert summary.utilization == pytest.approx((3 + 3 + 1.5 + 4) / (2 * 8.5))


def told(study: StudyRecord, outcome: Outcome) -> Summary:
    objective = synthetic_space().objective
    targets = {key: e.result.values[METRIC] for key, e in bests_of(outcome, objective).items()}
    return summarize("", outcome, study, synthetic_space(), targets)


def recorded(outcome: Outcome, study: StudyRecord) -> StudyRecord:
    """Return a simulated study as if it had run."""
    ordered = sorted(outcome.ends, key=lambda end: end.spec.trial)
    trials = tuple(
        TrialRecord(spec=end.spec, result=end.result, reports=end.result.reports) for end in ordered
    )
    return study.model_copy(update={"trials": trials})


def test_a_curve_that_was_cut_is_censored_and_nothing_is_invented() -> None:
    curves = [[5.0, 4.0, 3.0], [6.0, 3.0, 1.0]]
    pruner = tables.Asha(first_rung=1, reduction_factor=2)
    study = by_hand(curves, [1.0, 1.5])
    stopped = recorded(simulate(study, 2, pruner), study)
    outcome = simulate(stopped, 2, tables.NoPruner(name="none"))
    assert [(end.source, end.is_censored) for end in outcome.ends] == [
        ("t00001", True),
        ("t00000", False),
    ]
    assert outcome.ends[0].result.reports == stopped.trials[1].reports
    assert told(stopped, outcome).counts == {"censored": 1, "complete": 1}


def test_a_trial_that_failed_fails_again_and_with_its_pretraining_all_that_wait() -> None:
    study = by_hand([[5.0], [4.0]], [1.0, 1.0])
    end = {"state": "failed", "reason": "loss is NaN", "is_too_large": True}
    cause = study.trials[0].result.model_copy(update=end)
    failed = study.trials[0].model_copy(update={"result": cause})
    again = simulate(study.model_copy(update={"trials": (failed, study.trials[1])}), 1, PRUNERS[-1])
    assert [(e.result.state, e.result.reason, e.result.is_too_large) for e in again.ends] == [
        ("failed", "loss is NaN", True),
        ("complete", "", False),
    ]
    broken = study.shared[0].model_copy(update={"complete": False})
    none = simulate(study.model_copy(update={"shared": (broken,)}), 1, PRUNERS[-1])
    assert [e.result.state for e in none.ends] == ["failed", "failed"]
    assert none.seconds == {"pretrain": 3.0, "trial": 0.0, "control": 0.0}


@settings(deadline=None, max_examples=25)
@given(
    st.integers(1, 24), st.integers(1, 9), st.integers(0, 99), st.sampled_from(PRUNERS), st.data()
)
def test_whatever_the_rule_every_trial_ends_once_within_slots_and_budget(
    num_trials: int, slots: int, seed: int, pruner: tables.Pruner, data: st.DataObject
) -> None:
    study = synthetic_study(num_trials, seed)
    outcome = simulate(study, slots, pruner)
    assert sorted(end.source for end in outcome.ends) == [t.spec.trial for t in study.trials]
    assert outcome.most_at_once <= slots
    assert told(study, outcome).utilization <= 1 + 1e-9
    assert ends(simulate(study, slots, pruner)) == ends(outcome)
    more = simulate(study, slots + data.draw(st.integers(1, 9)), pruner)
    assert {end.source for end in more.ends} == {end.source for end in outcome.ends}


@settings(deadline=None, max_examples=10)
@given(st.integers(2, 12), st.integers(0, 99), st.sampled_from(PRUNERS))
def test_a_replay_with_the_same_settings_repeats_every_decision(
    num_trials: int, seed: int, pruner: tables.Pruner
) -> None:
    study = synthetic_study(num_trials, seed)
    ran = simulate(study, 2, pruner)
    again = simulate(recorded(ran, study), 2, pruner)
    assert again.decisions == ran.decisions
    assert ends(again) == ends(ran)
    assert not any(end.is_censored for end in again.ends)


def test_a_replay_under_the_paired_test_needs_the_values_of_single_models() -> None:
    study, rule = synthetic_study(9), tables.Paired(name="paired", min_trials=2)
    with pytest.raises(RefusedError, match=r"t00000: the report of epoch \d+ has no values of"):
        simulate(study, 1, rule)

    def with_models(trial: TrialRecord) -> TrialRecord:
        reports = tuple(
            r.model_copy(update={"per_model": (r.metrics[METRIC], r.metrics[METRIC] + 1)})
            for r in trial.reports
        )
        assert trial.result is not None
        result = trial.result.model_copy(update={"reports": reports})
        return trial.model_copy(update={"reports": reports, "result": result})

    kept = study.model_copy(update={"trials": tuple(map(with_models, study.trials))})
    outcome = simulate(kept, 1, rule)
    assert outcome.decisions
    for decision in outcome.decisions.values():
        assert (decision.rule, decision.stop) == ("paired", decision.rank > 1)


def with_tpe(study: StudyRecord) -> Outcome:
    sampler = tables.Tpe(n_startup_trials=4)
    space = replace(synthetic_space(), pruner=PRUNERS[0], sampler=sampler)
    chooser = Nearest(space, study.trials)
    return Simulation(study, space, len(study.trials), 1, chooser).run()


def test_a_proposal_becomes_the_nearest_trial_of_its_stratum_that_is_left() -> None:
    study, space = synthetic_study(9), synthetic_space()
    places = [  # learning rate by its logarithm over three decades; two choices are 1 apart
        {"model.num_heads": heads, "semi.aug_strength": strength, "semi.lr": lr}
        for heads, strength, lr in ((2, 0.9, 1e-5), (4, 0.5, 1e-4), (4, 0.5, 1e-3))
    ]
    wanted = propose(replace(space, sampler=tables.Random(name="random")), [], 0).internal

    def distance(place: dict[str, float]) -> float:
        strength = place["semi.aug_strength"] - float(wanted["semi.aug_strength"])
        decades = math.log10(place["semi.lr"] / float(wanted["semi.lr"])) / 3
        return strength**2 + decades**2 + (place["model.num_heads"] != wanted["model.num_heads"])

    trials = list(study.trials)
    for number, place in zip((0, 3, 6), places, strict=True):  # those of the first stratum
        spec = trials[number].spec
        attrs = {**spec.attrs, "internal": {**spec.attrs["internal"], **place}}
        update = {"spec": spec.model_copy(update={"attrs": attrs})}
        trials[number] = trials[number].model_copy(update=update)
    chooser = Nearest(space, trials)
    nearest = min(range(3), key=lambda number: distance(places[number]))
    source, spec = chooser.choose(0, list)
    assert (source, spec.trial) == (trials[3 * nearest], "t00000")
    others = {chooser.choose(number, list)[0].spec.trial for number in (3, 6)}
    assert others == {"t00000", "t00003", "t00006"} - {source.spec.trial}


def test_a_sampler_replayed_on_its_own_trials_takes_them_in_the_same_order() -> None:
    study = synthetic_study(30, seed=3)
    ran = with_tpe(study)
    again = with_tpe(recorded(ran, study))
    assert [end.spec.trial for end in again.ends] == [end.spec.trial for end in ran.ends]
    assert [end.source for end in again.ends] == [end.spec.trial for end in ran.ends]
    assert again.decisions == ran.decisions
    assert [end.source for end in ran.ends] != sorted(end.source for end in ran.ends)
