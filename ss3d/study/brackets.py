"""Hyperband: successive halving with several first rungs, so that none must be the right one."""

from __future__ import annotations

import binascii
import bisect
import functools
import itertools
import math
from dataclasses import dataclass, replace

from ss3d.store.layout import trial_number
from ss3d.study.cohort import Cohort
from ss3d.study.rungs import Decision, Rule, SuccessiveHalving


@dataclass(frozen=True)
class Hyperband(Rule):
    """Brackets of successive halving, each with its own first rung first_rung * factor^bracket.

    A trial is compared with trials of its bracket only. Its bracket is a pure function of the
    study's seed and the trial's number: Optuna's hash, with the seed as the study's name, and
    Optuna's shares, by which brackets that stop early get more trials.
    """

    first_rung: int
    factor: int
    epochs: int
    """Of the teacher-student phase: no bracket begins later."""
    seed: int
    """Of the study."""

    def decide(self, cohort: Cohort, trial: str, epoch: int) -> Decision | None:
        """Compare at the rungs of the trial's bracket."""
        bracket = self.bracket(trial)
        halving = SuccessiveHalving(self.first_rung * self.factor**bracket, self.factor)
        decision = halving.decide(cohort, trial, epoch)
        return decision and replace(decision, rule=f"hyperband/{self.factor} bracket {bracket}")

    def bracket(self, trial: str) -> int:
        """Return the bracket of a trial, from 0."""
        ends = _ends(num_brackets(self.first_rung, self.factor, self.epochs), self.factor)
        place = binascii.crc32(f"{self.seed}_{trial_number(trial)}".encode()) % ends[-1]
        return bisect.bisect_right(ends, place)


@functools.cache
def _ends(brackets: int, factor: int) -> list[int]:
    """Return where the share of each bracket ends."""
    shares = [
        math.ceil(brackets * factor**later / (later + 1)) for later in reversed(range(brackets))
    ]
    return list(itertools.accumulate(shares))


def num_brackets(first_rung: int, factor: int, epochs: int) -> int:
    """Return how many brackets begin within the phase, at least one."""
    brackets = 1
    while first_rung * factor**brackets <= epochs:
        brackets += 1
    return brackets
