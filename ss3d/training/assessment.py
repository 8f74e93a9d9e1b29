"""The full measurement of a finished network: the official metric and everything beside it.

Validation during training takes `evaluate` alone; this runs the network on several views, looks at
the shapes themselves and costs a few times as much.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ss3d.data.randomness import permutation_index
from ss3d.data.views import eval_view
from ss3d.points.chamfer import nearest_distances
from ss3d.training import shape_quality
from ss3d.training.evaluate import UNIT, Evaluation, evaluate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ss3d.data.loader import Items, ViewSpec
    from ss3d.model.network import Network

NUM_VIEWS = 4
"""Views per object that are compared with each other."""


@dataclass(frozen=True)
class Assessment:
    """All measurements of a set of models, per model and in its order."""

    evaluation: Evaluation
    values: dict[str, Tensor]
    """(V,) per metric; distances in the unit of `cd_l1`."""
    random_pairs: float | None
    """Mean `cd_l1` between the predictions of random pairs of objects."""
    num_views: int
    """Views of each object that `cd_between_views` compares; below 2 it is left out."""
    floor: Tensor | None
    """(V,) resampling floor in the unit of `cd_l1`; None if too few points are stored."""

    def table(self) -> dict[str, dict[str, Any]]:
        """Return sample mean, category mean and the mean of each category of every metric."""
        return {name: by_category(v, self.evaluation.categories) for name, v in self.values.items()}

    @property
    def category_sd(self) -> float:
        """Return the standard deviation of `cd_l1` over the categories."""
        means = torch.tensor(list(self.evaluation.per_category().values()))
        return means.std(correction=0).item()

    @property
    def floor_share(self) -> float | None:
        """Return the mean `cd_l1` over the mean floor, if there is one."""
        if self.floor is None:
            return None
        return (self.evaluation.cd_l1.mean() / self.floor.mean()).item()

    @property
    def warning(self) -> str | None:
        """Return what is suspicious: a mean under 0.8 of the mean floor (method section 8.1)."""
        share = self.floor_share
        if share is None or share >= shape_quality.FLOOR_SHARE:
            return None
        return (
            f"cd_l1 is {share:.2f} of the distance between two samplings of the same surface, "
            f"expected at least {shape_quality.FLOOR_SHARE}: the frame or the factor is not the "
            "official one, or the prediction has seen the target"
        )


def by_category(values: Tensor, categories: Sequence[str]) -> dict[str, Any]:
    """Return the mean over samples, the unweighted mean over categories, and theirs.

    Args:
        values: (V,).
        categories: of the V models.
    """
    groups: dict[str, list[float]] = defaultdict(list)
    for category, value in zip(categories, values.tolist(), strict=True):
        groups[category].append(value)
    means = {name: sum(found) / len(found) for name, found in sorted(groups.items())}
    return {
        "sample_mean": values.mean().item(),
        "category_mean": sum(means.values()) / len(means),
        "per_category": means,
    }


@torch.no_grad()
def assess(network: Network, items: Items, view: ViewSpec) -> Assessment:
    """Measure a network on every model of a set.

    Args:
        network: put into eval mode and back.
        items: validation or test models, with clouds.
        view: crop and background.

    Raises:
        DataError: a target is not in the unit ball.
        DivergedError: a prediction is not finite.
    """
    floor = _floor(items)
    evaluation = evaluate(network, items, view)
    evaluation.metrics()
    num_views = min(NUM_VIEWS, items.num_views)
    disagreement = _between_views(network, items, view, num_views) if num_views > 1 else None
    return Assessment(
        evaluation=evaluation,
        values=_values(evaluation, _shapes(evaluation, items), disagreement),
        random_pairs=_random_pairs(evaluation.predicted),
        num_views=num_views,
        floor=floor,
    )


def _values(
    evaluation: Evaluation, shapes: dict[str, Tensor], disagreement: Tensor | None
) -> dict[str, Tensor]:
    values = {
        "cd_l1": evaluation.cd_l1,
        "cd_pred_to_gt": UNIT * evaluation.pred_to_gt,
        "cd_gt_to_pred": UNIT * evaluation.gt_to_pred,
        "cd_l1_sum": 2 * evaluation.cd_l1,
        "cd_l2": evaluation.cd_l2,
        "f_score": evaluation.f_score,
        **shapes,
    }
    return values if disagreement is None else values | {"cd_between_views": disagreement}


def _shapes(evaluation: Evaluation, items: Items) -> dict[str, Tensor]:
    """Return (V,) of the metrics that need the clouds themselves."""
    columns: dict[str, list[Tensor]] = defaultdict(list)
    start = 0
    for _, target in items.evaluation():
        predicted = evaluation.predicted[start : start + len(target)].to(target.device)
        start += len(target)
        gt_to_pred = nearest_distances(predicted, target)[1]
        columns["spacing_variation"].append(shape_quality.spacing_variation(predicted))
        columns["void_share"].append(shape_quality.void_share(gt_to_pred, target))
        columns["cd_thin"].append(UNIT * shape_quality.thin_distance(gt_to_pred, target))
    return {name: torch.cat(parts).cpu() for name, parts in columns.items()}


def _between_views(network: Network, items: Items, view: ViewSpec, num_views: int) -> Tensor:
    """Return (V,) the distance between predictions from evenly chosen views."""
    was_training = network.training
    network.eval()
    numbers = [i * items.num_views // num_views for i in range(num_views)]
    batches = zip(*(items.view(number) for number in numbers), strict=True)
    found = [
        shape_quality.view_disagreement([network(eval_view(rgba, view)) for rgba in batch])
        for batch in batches
    ]
    network.train(was_training)
    return UNIT * torch.cat(found).cpu()


def _random_pairs(predicted: Tensor) -> float | None:
    if len(predicted) < 2:
        return None
    order = permutation_index(0, 0, len(predicted), len(predicted), "random pairs")
    return UNIT * shape_quality.random_pair_distance(predicted, order).mean().item()


def _floor(items: Items) -> Tensor | None:
    """Check the frame of all targets and return their (V,) resampling floors."""
    floors = []
    start = 0
    for stored in items.stored_clouds():
        shape_quality.check_frame(stored, items.ids[start : start + len(stored)])
        start += len(stored)
        floors.append(shape_quality.resampling_floor(stored))
    known = [floor for floor in floors if floor is not None]
    return UNIT * torch.cat(known).cpu() if known else None
