"""Another sampler on recorded trials: what it proposes becomes the nearest one still unused."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    json_to_distribution,
)

from ss3d.store import layout
from ss3d.study.proposals import propose
from ss3d.study.simulation import History
from ss3d.study.space import Space
from ss3d.trial.records import TrialRecord, TrialSpec


class Nearest:
    """Asks the sampler of a space, and takes the nearest recorded trial of the stratum.

    Near is meant as Optuna sees the values: each parameter scaled to 0 .. 1 within its range, by
    its logarithm where the range has one; two choices of a categorical parameter are 1 apart, and
    so is a parameter that only one of both trials has, at least.

    Args:
        space: with the sampler to ask.
        trials: of the recorded study.
    """

    def __init__(self, space: Space, trials: Sequence[TrialRecord]) -> None:
        self._space = space
        self._trials = trials
        known = {path: text for t in trials for path, text in t.spec.distributions.items()}
        self._distributions = {path: json_to_distribution(text) for path, text in known.items()}
        self._places = np.stack([self._place(t.spec.attrs["internal"]) for t in trials])  # (T, D)
        self._is_left = np.ones(len(trials), dtype=bool)
        self._stratum_of = [trial.spec.stratum for trial in trials]

    def choose(self, number: int, history: History) -> tuple[TrialRecord, TrialSpec]:
        """Return the nearest one that is left; of any stratum if its own has none left."""
        proposal = propose(self._space, history(), number)
        stratum = self._space.stratum(number)
        own = np.array([of == stratum for of in self._stratum_of]) & self._is_left
        (candidates,) = np.nonzero(own if own.any() else self._is_left)
        offsets = self._places[candidates] - self._place(proposal.internal)
        chosen = int(candidates[np.argmin((offsets**2).sum(axis=1))])
        self._is_left[chosen] = False
        source = self._trials[chosen]
        attrs = {**source.spec.attrs, "system": proposal.system_attrs}
        update = {"trial": layout.trial_id(number), "attrs": attrs}
        return source, source.spec.model_copy(update=update)

    def _place(self, internal: Mapping[str, Any]) -> NDArray[np.float64]:
        """Return where Optuna's values are, (D,)."""
        parts = [_coordinates(of, internal.get(p)) for p, of in self._distributions.items()]
        return np.concatenate(parts)


def _coordinates(distribution: BaseDistribution, value: Any) -> list[float]:
    match distribution:
        case CategoricalDistribution(choices=choices):
            return [math.sqrt(0.5) * (value == choice) for choice in choices]
        case (FloatDistribution() | IntDistribution()) as of:
            if value is None:
                return [-1.0]
            scale = math.log if of.log else float
            low, high = scale(of.low), scale(of.high)
            return [(scale(value) - low) / (high - low) if high > low else 0.0]
        case _:
            return []
