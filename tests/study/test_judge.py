"""Who goes on within strata and directions, whatever the rule."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_board import make_space, seal_on
from test_pruners import EPOCHS, RULES, Replay, coarse, on_models, replays

from ss3d.store.layout import trial_id
from ss3d.study.entries import Entry
from ss3d.study.events import Decided
from ss3d.study.frozen import frozen_trial
from ss3d.study.judge import Judge
from ss3d.study.paired import PairedTest
from ss3d.study.rungs import Decision, Rule
from ss3d.study.space import Space
from ss3d.trial.records import EpochReport

METRICS = {"minimize": "val/cd_l1", "maximize": "val/f_score"}
SPACES = {
    direction: make_space(f'[objective]\nmetric = "{metric}"\ndirection = "{direction}"\n')
    for direction, metric in METRICS.items()
}
SPECS = {direction: [seal_on(space, n) for n in range(7)] for direction, space in SPACES.items()}


def judge_all(
    rule: Rule,
    replay: Replay,
    strata: list[int],
    direction: str = "minimize",
    only: int | None = None,
) -> dict[tuple[str, int], Decision]:
    """Return all decisions about trials that arrive in strata, or in only one of them."""
    space, told = SPACES[direction], list[Decided]()
    judge = Judge(space, rule, {}, told.append)
    entries = entries_of(space, direction, replay, strata)
    for number, epoch, value in replay.arrivals():
        entry = entries[number]
        if entry.reason or only not in (None, strata[number]):
            continue
        sign = 1 if direction == "minimize" else -1
        entry.keep([report(epoch, METRICS[direction], sign * value)])
        entry.state = "complete" if epoch == EPOCHS else "running"
        judge.see(entry)
        judge.decide(entry, [epoch])
    return {(event.trial, event.epoch): event.decision for event in told}


def entries_of(space: Space, direction: str, replay: Replay, strata: list[int]) -> list[Entry]:
    specs = [
        spec.model_copy(update={"stratum": {"data.labeled_ratio": stratum}})
        for spec, stratum in zip(SPECS[direction], strata, strict=False)
    ]
    return [
        Entry(spec, frozen_trial(spec, None, space.objectives))
        for spec, _ in zip(specs, replay.values, strict=False)
    ]


def report(epoch: int, metric: str, value: float) -> EpochReport:
    return EpochReport(
        phase="semi",
        epoch=epoch,
        step=epoch,
        metrics={metric: value},
        system={},
        digest="",
        per_model=on_models(value),
    )


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
@settings(deadline=None, max_examples=8)
@given(replay=replays(coarse), strata=st.lists(st.integers(0, 1), min_size=7, max_size=7))
def test_other_strata_change_nothing(rule: Rule, replay: Replay, strata: list[int]) -> None:
    together = judge_all(rule, replay, strata)
    apart = [judge_all(rule, replay, strata, only=stratum) for stratum in (0, 1)]
    assert together == apart[0] | apart[1]
    for (trial, _), decision in together.items():
        own = strata[int(trial[1:])], rule.bracket(trial)
        groups = [(stratum, rule.bracket(trial_id(n))) for n, stratum in enumerate(strata)]
        assert 1 <= decision.num_peers <= groups.count(own)


SIGNED = [rule for rule in RULES if not isinstance(rule, PairedTest)]
"""The paired test only takes what is minimized."""


@pytest.mark.parametrize("rule", SIGNED, ids=lambda rule: type(rule).__name__)
@settings(deadline=None, max_examples=8)
@given(replay=replays(coarse))
def test_to_maximize_is_to_minimize_the_negative(rule: Rule, replay: Replay) -> None:
    down = judge_all(rule, replay, [0] * 7)
    up = judge_all(rule, replay, [0] * 7, "maximize")
    mirrored = {
        where: replace(decision, value=-decision.value, cutoff=-decision.cutoff)
        for where, decision in up.items()
    }
    assert mirrored == down


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
@settings(deadline=None, max_examples=8)
@given(replay=replays(coarse), later=replays(coarse))
def test_what_was_decided_holds_whatever_arrives_later(
    rule: Rule, replay: Replay, later: Replay
) -> None:
    """A judge that is given stored decisions makes none of them again."""
    stored = judge_all(rule, replay, [0] * 7)
    told = list[Decided]()
    judge = Judge(SPACES["minimize"], rule, dict(stored), told.append)
    entries = entries_of(SPACES["minimize"], "minimize", later, [0] * 7)
    for number, epoch, value in later.arrivals():
        entry = entries[number]
        entry.keep([report(epoch, METRICS["minimize"], value)])
        judge.see(entry)
        where = (entry.spec.trial, epoch)
        if where in stored:
            assert judge.decide(entry, [epoch]) == stored[where]
    assert told == []
