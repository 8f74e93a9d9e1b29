"""Which trials a space would bring: what each shares, what kind it is, how far it would get."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ss3d.config import TrialConfig, fingerprint
from ss3d.store.layout import trial_id
from ss3d.study.brackets import Hyperband
from ss3d.study.proposals import propose
from ss3d.study.pruners import make_rule
from ss3d.study.rungs import MedianRule, Rule, SuccessiveHalving
from ss3d.study.space import Space

_COSTLY = (
    *("data.image_size", "data.num_target_points", "data.num_val_models", "data.categories"),
    *("pretrain.batch_size", "semi.labeled_batch", "semi.unlabeled_batch", "semi.fp_where"),
    *("semi.lambda_u", "semi.conf_weight"),
)
"""Fields that change what a step or a validation costs, besides all of model and numerics."""
_SWITCHES = ("semi.lambda_u", "semi.conf_weight")
"""Of these only whether they are zero matters."""


@dataclass(frozen=True)
class Planned:
    """One trial that would be proposed."""

    config: TrialConfig
    pretrain: str
    """Identity of what it shares, as `control`; empty if it needs none."""
    control: str
    kind: str
    """Trials of one kind cost the same per step."""
    epochs: float
    """Teacher-student epochs that it is expected to run."""
    completes: float
    """Share of such trials that is expected to reach the end."""


def plan(space: Space, trials: int) -> list[Planned]:
    """Return the trials that the sampler would propose if it learned nothing from their results.

    Raises:
        ConfigError: the sampler finds no values that fit together.
    """
    rule = make_rule(space)
    planned = []
    for number in range(trials):
        config = space.configure(propose(space, [], number).params)
        semi = config.semi
        is_controlled = space.controls and semi.enabled and semi.lambda_u > 0
        epochs, completes = expected(rule, number, semi.epochs if semi.enabled else 0)
        planned.append(
            Planned(
                config=config,
                pretrain=fingerprint(config.pretrain_fields()),
                control=fingerprint(config.control().flatten()) if is_controlled else "",
                kind=kind_of(config),
                epochs=epochs,
                completes=completes,
            )
        )
    return planned


def kind_of(config: TrialConfig) -> str:
    """Return what decides the cost of a step, as one text."""
    values = config.flatten()
    costly: dict[str, Any] = {
        path: bool(value) if path in _SWITCHES else value
        for path, value in values.items()
        if path in _COSTLY or path.startswith(("model.", "numerics."))
    }
    return fingerprint(costly)


def expected(rule: Rule, number: int, epochs: int) -> tuple[float, float]:
    """Return the epochs that a trial is expected to run, and how likely it completes.

    Of trials at a rung of successive halving one in `factor` goes on; half of those that meet the
    median rule are stopped at its first rung. Other rules are taken to stop nothing.

    Args:
        rule: of the study.
        number: of the trial, which decides its bracket.
        epochs: of its teacher-student phase.
    """
    match rule:
        case Hyperband(first_rung=first, factor=factor):
            start = first * factor ** rule.bracket(trial_id(number))
            return expected(SuccessiveHalving(start, factor), number, epochs)
        case SuccessiveHalving(first_rung=first, factor=factor):
            rung, share, run = min(first, epochs), 1.0, float(min(first, epochs))
            while rung < epochs:
                share /= factor
                run += share * (min(rung * factor, epochs) - rung)
                rung *= factor
            return run, share
        case MedianRule(first_rung=first) if first < epochs:
            return first + (epochs - first) / 2, 0.5
        case _:
            return float(epochs), 1.0


def count_kinds(planned: Iterable[Planned]) -> dict[str, Planned]:
    """Return the first trial of each kind, the most frequent kinds first."""
    groups: dict[str, list[Planned]] = {}
    for one in planned:
        groups.setdefault(one.kind, []).append(one)
    ordered = sorted(groups.values(), key=len, reverse=True)
    return {group[0].kind: group[0] for group in ordered}
