"""The official metric on a set of models (method section 8.1)."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ss3d.data.views import eval_view
from ss3d.errors import DivergedError
from ss3d.points.chamfer import chamfer_l1, nearest_distances

if TYPE_CHECKING:
    from ss3d.data.loader import Items, ViewSpec
    from ss3d.model.network import Network

UNIT = 100.0
"""`cd_l1` is this times the L1 Chamfer distance in the unit ball, as in the paper's tables."""
F_SCORE_DISTANCE = 0.01
"""Threshold of the F-score in object units."""
MOST_MODELS = 256
"""Models whose distance a report carries, when there are more."""
DIVERSITY_CLOUDS = 8
"""Predictions whose mean pairwise distance shows a collapse to one shape."""


@dataclass(frozen=True)
class Evaluation:
    """Distances of every model of a set, in its order."""

    ids: list[str]
    categories: list[str]
    predicted: Tensor  # (V, N, 3)
    pred_to_gt: Tensor  # (V,) object units
    gt_to_pred: Tensor  # (V,) object units
    f_score: Tensor  # (V,) in [0, 1]
    cd_l2: Tensor  # (V,) sum of the two mean squared distances

    @property
    def cd_l1(self) -> Tensor:
        """Return (V,) the official metric of each model."""
        return UNIT * 0.5 * (self.pred_to_gt + self.gt_to_pred)

    def per_category(self) -> dict[str, float]:
        """Return the mean `cd_l1` of each category present."""
        groups: dict[str, list[float]] = defaultdict(list)
        for category, value in zip(self.categories, self.cd_l1.tolist(), strict=True):
            groups[category].append(value)
        return {name: sum(values) / len(values) for name, values in sorted(groups.items())}

    def per_model(self) -> dict[str, float]:
        """Return the `cd_l1` of each model by id."""
        return dict(zip(self.ids, self.cd_l1.tolist(), strict=True))

    def sample(self) -> tuple[float, ...]:
        """Return the `cd_l1` of all models, or of `MOST_MODELS` of them: number n * V // 256."""
        count = min(len(self.ids), MOST_MODELS)
        return tuple(self.cd_l1[torch.arange(count) * len(self.ids) // count].tolist())

    def metrics(self) -> dict[str, float]:
        """Return the scalars of a report, without prefix.

        Raises:
            DivergedError: a prediction is not finite.
        """
        per_category = self.per_category()
        shown = self.predicted[:DIVERSITY_CLOUDS]
        pairs = torch.combinations(torch.arange(len(shown)))
        values = {
            "cd_l1": self.cd_l1.mean().item(),
            "cd_l1_sum": 2 * self.cd_l1.mean().item(),
            "cd_l1_category_mean": sum(per_category.values()) / len(per_category),
            "num_categories": float(len(per_category)),
            "cd_pred_to_gt": UNIT * self.pred_to_gt.mean().item(),
            "cd_gt_to_pred": UNIT * self.gt_to_pred.mean().item(),
            "cd_l2": self.cd_l2.mean().item(),
            "f_score": self.f_score.mean().item(),
        }
        if len(pairs):
            distances = chamfer_l1(shown[pairs[:, 0]], shown[pairs[:, 1]])
            values["diversity"] = UNIT * distances.mean().item()
        if not math.isfinite(values["cd_l1"]):
            raise DivergedError("a predicted cloud is not finite; lower the learning rate")
        return values


@torch.no_grad()
def evaluate(network: Network, items: Items, view: ViewSpec) -> Evaluation:
    """Predict every model from its evaluation view and measure against its fixed target subset.

    Args:
        network: put into eval mode and back.
        items: validation or test models, with clouds.
        view: crop and background.
    """
    was_training = network.training
    network.eval()
    columns: dict[str, list[Tensor]] = defaultdict(list)
    for rgba, target in items.evaluation():
        predicted = network(eval_view(rgba, view))
        forward, backward = nearest_distances(predicted, target)  # (B, N), (B, M)
        columns["predicted"].append(predicted)
        columns["pred_to_gt"].append(forward.mean(-1))
        columns["gt_to_pred"].append(backward.mean(-1))
        columns["f_score"].append(f_score(forward, backward))
        columns["cd_l2"].append(forward.square().mean(-1) + backward.square().mean(-1))
    network.train(was_training)
    measured = {name: torch.cat(parts).cpu() for name, parts in columns.items()}
    return Evaluation(ids=list(items.ids), categories=list(items.categories), **measured)


def f_score(forward: Tensor, backward: Tensor) -> Tensor:
    """Return the harmonic mean of precision and recall at `F_SCORE_DISTANCE`.

    Args:
        forward: (B, N) distances from the prediction to the target, object units.
        backward: (B, M) distances from the target to the prediction.

    Returns:
        (B,) in [0, 1].
    """
    precision = (forward < F_SCORE_DISTANCE).double().mean(-1)
    recall = (backward < F_SCORE_DISTANCE).double().mean(-1)
    return (2 * precision * recall / (precision + recall).clamp_min(1e-12)).float()
