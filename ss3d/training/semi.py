"""The teacher-student phase (method section 9): one step is one pass of the student.

Per step the student sees labeled images, two strong views and one perturbed view of the unlabeled
images, all in one forward; the teacher labels the weak view without gradient and follows the
student by EMA. With `lambda_u = 0` no unlabeled image is read: that is the supervised control.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ss3d.data.randomness import generator, permutation_index
from ss3d.data.views import WeakView, mirror, strong_view, weak_view
from ss3d.training.losses import confidence, pseudo_label_distance, supervised_distance
from ss3d.training.optimizer import Averages, learning_rate, optimizer_step
from ss3d.training.perturbation import FeaturePerturbation
from ss3d.training.teacher import decay_at, relative_distance, update_teacher

if TYPE_CHECKING:
    from ss3d.config import SemiConfig
    from ss3d.data.loader import TrialData
    from ss3d.model.network import Network


@dataclass(frozen=True)
class Unlabeled:
    """The views of the U unlabeled images of one step, normalized."""

    weak: WeakView
    second_weak: Tensor | None  # (U, 3, S, S), never mirrored; for the confidence weight
    strong: tuple[Tensor, Tensor]  # (U, 3, S, S) each
    perturbed: Tensor  # (U, 3, S, S), input of the feature-perturbed branch


@dataclass(frozen=True)
class Batch:
    """The images of one step, normalized."""

    labeled: Tensor  # (B, 3, S, S)
    target: Tensor  # (B, M, 3)
    unlabeled: Unlabeled | None  # None in a supervised control


def semi_epoch(
    student: Network,
    teacher: Network,
    optimizer: torch.optim.AdamW,
    data: TrialData,
    config: SemiConfig,
    steps: Iterable[int],
) -> dict[str, float]:
    """Train on these steps of the phase and return the means of what was logged.

    Raises:
        DivergedError: a loss is not finite.
    """
    student.train()
    if config.bn_mode == "frozen":
        student.freeze_statistics()
    teacher.eval()
    averages = Averages()
    for step in steps:
        batch = draw_batch(data, config, step)
        terms = semi_losses(student, teacher, batch, config, step)
        factor = learning_rate(step, config.steps)
        norm = optimizer_step(optimizer, student, terms["loss"], config.grad_clip, factor)
        decay = decay_at(step, config.ema_decay, config.ema_warmup)
        update_teacher(teacher, student, decay)
        averages.add(
            **terms,
            lr=config.lr * factor,
            grad_norm=norm,
            clipped=(norm > config.grad_clip).double(),
            ema_decay=decay,
        )
    distance = relative_distance(teacher, student).item()
    return averages.means() | {"train/teacher_distance": distance}


def draw_batch(data: TrialData, config: SemiConfig, step: int) -> Batch:
    """Draw the images of a step; each branch has randomness of its own, keyed by the step."""
    seed, count = config.seed, len(data.labeled_order)
    draws = permutation_index(seed, step, config.labeled_batch, count, "labeled")
    random = generator(seed, "semi", step, "labeled")
    rgba, target = data.labeled.batch(data.labeled_order[draws], random)
    weak = weak_view(rgba, data.view, random)
    return Batch(
        labeled=strong_view(weak, config.label_aug_strength, random),
        target=mirror(target, weak),
        unlabeled=_draw_unlabeled(data, config, step) if config.lambda_u > 0 else None,
    )


def _draw_unlabeled(data: TrialData, config: SemiConfig, step: int) -> Unlabeled:
    seed, count = config.seed, len(data.unlabeled)
    unlabeled = permutation_index(seed, step, config.unlabeled_batch, count, "unlabeled")
    random_weak = generator(seed, "semi", step, "weak")
    rgba_unlabeled = data.unlabeled.batch(unlabeled, random_weak)[0]
    weak = weak_view(rgba_unlabeled, data.view, random_weak)
    strengths = (config.aug_strength,) * (3 if config.fp_view == "strong" else 2)
    strong = [
        strong_view(weak, strength, generator(seed, "semi", step, "strong", i))
        for i, strength in enumerate(strengths)
    ]
    second = None
    if config.conf_weight > 0:
        random_second = generator(seed, "semi", step, "second")
        second = weak_view(rgba_unlabeled, data.view.without_flip(), random_second).images
    return Unlabeled(
        weak=weak,
        second_weak=second,
        strong=(strong[0], strong[1]),
        perturbed=strong[2] if config.fp_view == "strong" else weak.images,
    )


def semi_losses(
    student: Network,
    teacher: Network,
    batch: Batch,
    config: SemiConfig,
    step: int,
) -> dict[str, Tensor]:
    """Return the terms of eqs. 20-22 as scalars; `loss` is what the student minimises.

    The weights of eq. 20 are unknown; eq. 21 weighs its branches as UniMatch does: medium-high
    certainty; half of the sum in eq. 22: medium, the text could also mean sup + weight x unsup.
    """
    if batch.unlabeled is None:
        loss, terms = labeled_losses(student, student.forward_stages(batch.labeled), batch, config)
        return {"loss": loss / 2, **terms}
    pseudo_label, weight = label(teacher, batch.unlabeled, config.conf_weight)
    num_labeled, num_unlabeled = len(batch.labeled), len(pseudo_label)
    images = torch.cat((batch.labeled, *batch.unlabeled.strong, batch.unlabeled.perturbed))
    perturb = FeaturePerturbation(config, generator(config.seed, "semi", step, "fp"), num_unlabeled)
    stages = student.forward_stages(images, perturb)
    first, second, perturbed = stages[-1][num_labeled:].split(num_unlabeled)

    def consistency(predicted: Tensor) -> Tensor:
        distance = pseudo_label_distance(
            predicted, pseudo_label, config.unsup_eps, config.unsup_distance
        )
        return (weight * distance).mean()

    strong = (consistency(first) + consistency(second)) / 2
    fp = consistency(perturbed)
    unsupervised = (1 - config.w_fp) * strong + config.w_fp * fp  # eq. 21
    of_labeled = [cloud[:num_labeled] for cloud in stages]
    labeled, terms = labeled_losses(student, of_labeled, batch, config)
    ramp = ramp_at(step, config.steps, config.ramp)
    return {
        "loss": (labeled + ramp * config.lambda_u * unsupervised) / 2,  # eq. 22
        **terms,
        "loss_unsup": unsupervised,
        "loss_strong": strong,
        "loss_fp": fp,
        "ramp": torch.tensor(ramp),
    }


def labeled_losses(
    student: Network, stages: list[Tensor], batch: Batch, config: SemiConfig
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the labeled half of eq. 22 and its two terms."""
    supervised = supervised_distance(stages, batch.target)
    orthogonality = student.orthogonality()
    terms = {"loss_sup": supervised, "loss_orth": orthogonality}
    return supervised + config.lambda_orth * orthogonality, terms


@torch.no_grad()
def label(teacher: Network, views: Unlabeled, temperature: float) -> tuple[Tensor, Tensor]:
    """Return the teacher's clouds of the weak views (U, N, 3) and their weights (U,)."""
    pseudo_label = teacher(views.weak.images)
    if views.second_weak is None:
        return pseudo_label, torch.ones(len(pseudo_label), device=pseudo_label.device)
    second = mirror(teacher(views.second_weak), views.weak)
    return pseudo_label, confidence(pseudo_label, second, temperature)


def ramp_at(step: int, steps: int, fraction: float) -> float:
    """Return the factor on `lambda_u`: linear from 0 to 1 over the first fraction of the phase."""
    length = fraction * steps
    return 1.0 if length == 0 else min(1.0, step / length)
