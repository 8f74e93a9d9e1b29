"""The paired test: stop what is worse than the best trial, told model by model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from scipy.special import stdtr, stdtrit

from ss3d.study.cohort import Cohort, place
from ss3d.study.rungs import Decision, Difference, Rule, compare


@dataclass(frozen=True)
class PairedTest(Rule):
    """Stop a trial whose mean `cd_l1` is surely larger than that of the best trial at its rung.

    All trials of a stratum see the same labels, batches and validation models, so the noise that
    they share cancels in the differences model by model: far smaller ones are seen than by
    comparing means. Of these differences a one-sided t test is made: it is about their mean, which
    is what the objective and the leaderboard rank. (Wilcoxon's test is about their median, and may
    stop the trial with the better mean.) With tens of models the mean is near enough to normal;
    outliers widen the interval, so in doubt a trial goes on.

    Several looks: a trial is looked at in every rung before the last epoch, so each look spends an
    equal share of `alpha` (Bonferroni). A trial that is as good as the one it is compared with is
    then stopped with probability `alpha` at most over the whole phase. That one was picked as the
    best of many, partly by luck, so an equal trial may be stopped more often: this loses little, as
    its equal goes on. The test is about the choice of validation models: not about seeds, and not
    about what later epochs might bring.

    A decision is made at arrival, by what is known then, and never taken back. The best trial at a
    rung always goes on.
    """

    first_rung: int
    factor: int
    epochs: int
    """Of the teacher-student phase."""
    min_trials: int
    """That reached the rung, this one included, before one is stopped there."""
    alpha: float
    """Probability of stopping a trial that is no worse, over all its rungs."""

    def rungs(self) -> tuple[int, ...]:
        """Return the epochs first_rung * factor^k before the last."""
        found = []
        rung = self.first_rung
        while rung < self.epochs:
            found.append(rung)
            rung *= self.factor
        return tuple(found)

    def decide(self, cohort: Cohort, trial: str, epoch: int) -> Decision | None:
        """Compare with the best trial of the rung; None also while it cannot be compared."""
        rungs = self.rungs()
        at_rung = {t: c.values[epoch] for t, c in cohort.items() if epoch in c.values}
        if epoch not in rungs or len(at_rung) < self.min_trials:
            return None
        best = min(at_rung, key=lambda t: (place(at_rung[t]), t))
        value, least, ordered = at_rung[trial], at_rung[best], cohort.ordered(epoch)
        if trial == best or math.isnan(value):
            return compare("paired", epoch, value, ordered, least)
        own, others = (cohort[t].per_model.get(epoch, ()) for t in (trial, best))
        if len(own) != len(others) or len(own) < 2:
            return None
        difference = paired_difference(best, own, others, 1 - self.alpha / len(rungs))
        cutoff = max(least, value - difference.low)
        decision = compare("paired", epoch, value, ordered, cutoff)
        return replace(decision, difference=difference)


def paired_difference(
    best: str, own: Sequence[float], others: Sequence[float], confidence: float
) -> Difference:
    """Return how much worse a trial is than another, by Student's t.

    Args:
        best: the other trial.
        own: (V,) values of the trial on V >= 2 models.
        others: (V,) values of the other trial on the same models.
        confidence: of the one-sided interval, above 0.5.
    """
    differences = [a - b for a, b in zip(own, others, strict=True)]
    count = len(differences)
    mean = math.fsum(differences) / count
    variance = math.fsum((d - mean) ** 2 for d in differences) / (count - 1)
    error = math.sqrt(variance / count)
    p_value = float(stdtr(count - 1, -mean / error)) if error else float(mean <= 0)
    low = mean - error * float(stdtrit(count - 1, confidence))
    return Difference(best, mean, low, confidence, p_value, count)
