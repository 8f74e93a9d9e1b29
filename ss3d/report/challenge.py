"""A candidate against the champion: the same validation models, one by one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ss3d.errors import CheckpointError
from ss3d.report.exported_distances import Distances
from ss3d.report.paired_gain import PairedGain, paired_gain


@dataclass(frozen=True)
class Measured:
    """What an export measured of its weights, those of the best epoch, on validation models."""

    weights_sha256: str
    epoch: int
    data_hash: str
    cd_l1: float
    distances: Distances


@dataclass(frozen=True)
class CategoryGain:
    """One category of validation models."""

    category: str
    champion: float
    """Mean `cd_l1`."""
    candidate: float
    gain: PairedGain


@dataclass(frozen=True)
class Challenge:
    """What a candidate gains over the champion."""

    champion: Measured
    candidate: Measured
    gain: PairedGain | None
    """Positive: the candidate is better. None where they cannot be paired."""
    categories: tuple[CategoryGain, ...]
    reason: str = ""
    """Why they cannot be paired."""

    def as_values(self) -> dict[str, Any]:
        """Return it as `--json` shows it."""
        return {
            "champion": self.champion.cd_l1,
            "candidate": self.candidate.cd_l1,
            "gain": None if self.gain is None else vars(self.gain),
            "reason": self.reason,
            "categories": [vars(one) | {"gain": vars(one.gain)} for one in self.categories],
        }


def parse_measured(data: bytes, name: str) -> Measured:
    """Read the metrics.json that an export holds.

    Args:
        data: its bytes.
        name: what to call it in an error.

    Raises:
        CheckpointError: it is damaged or not complete.
    """
    try:
        tree = json.loads(data)
        return Measured(
            weights_sha256=str(tree["sha256"]),
            epoch=int(tree["epoch"]),
            data_hash=str(tree["data_hash"]),
            cd_l1=float(tree["val"]["val/cd_l1"]),
            distances={str(key): float(value) for key, value in tree["per_model"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{name}: not a complete export: {error!r}") from error


def challenge(champion: Measured, candidate: Measured, categories: Mapping[str, str]) -> Challenge:
    """Pair a candidate with the champion on the validation models of one data set.

    Args:
        champion: as it was promoted.
        candidate: as it would be.
        categories: name of the category of each of the candidate's validation models.
    """
    reason = _why_not(champion, candidate)
    if reason:
        return Challenge(champion, candidate, None, (), reason)
    names: dict[str, list[str]] = {}
    for model in candidate.distances:
        names.setdefault(categories.get(model, ""), []).append(model)
    return Challenge(
        champion,
        candidate,
        gain_over(champion, [candidate.distances]),
        tuple(
            CategoryGain(
                category=category,
                champion=float(np.mean([champion.distances[m] for m in models])),
                candidate=float(np.mean([candidate.distances[m] for m in models])),
                gain=_gain(champion.distances, [candidate.distances], models),
            )
            for category, models in sorted(names.items())
        ),
    )


def gain_over(champion: Measured, replicates: Sequence[Distances]) -> PairedGain:
    """Return how much better one or several networks are on the champion's validation models."""
    return _gain(champion.distances, replicates, list(champion.distances))


def _gain(champion: Distances, replicates: Sequence[Distances], models: list[str]) -> PairedGain:
    return paired_gain(np.array([[champion[m] - one[m] for m in models] for one in replicates]))


def _why_not(champion: Measured, candidate: Measured) -> str:
    if champion.data_hash != candidate.data_hash:
        return (
            f"the champion was measured on data {champion.data_hash[:12]}…, the candidate on "
            f"{candidate.data_hash[:12]}…"
        )
    if champion.distances.keys() != candidate.distances.keys():
        return (
            f"the champion was measured on {len(champion.distances)} validation models, the "
            f"candidate on {len(candidate.distances)} others"
        )
    return ""
