"""What the savings benchmark searches: a small space, its rungs, and the ceiling of its saving."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Literal

METRIC = "val/cd_l1"
RATIOS = (0.1, 0.2, 0.5)
HEADS = (1, 2, 4)
FIRST_RUNG = 2
FACTOR = 4
"""With 30 epochs: rungs at 2, 8 and the last epoch of the teacher-student phase. Epoch 1 is too
early: of trials with the same pretrained state it says nothing yet."""

Sampler = Literal["random", "tpe"]
Pruner = Literal["none", "asha"]

_BASE: dict[str, Any] = {
    "data.image_size": 32,
    "data.num_target_points": 128,
    "data.num_val_models": 16,
    "model.cnn_widths": [16, 32, 64],
    "model.num_decoder_heads": 1,
    "model.num_points": 64,
    "model.num_neighbors": 4,
    "pretrain.steps": 140,
    "pretrain.epochs": 5,
    "semi.steps": 90,
    "semi.epochs": 30,
    "semi.lr": 1e-4,
}
"""Of the preset `tiny`, so small that a trial takes seconds, two fifths of them of pretraining."""
_QUICK: dict[str, Any] = {
    "data.num_val_models": 8,
    "pretrain.steps": 30,
    "semi.steps": 10,
    "semi.epochs": 10,
}
_RANGES: dict[str, tuple[float, float]] = {
    "semi.ema_decay": (0.8, 0.98),
    "semi.aug_strength": (0.0, 1.0),
    "semi.fp_magnitude": (0.0, 0.8),
}


@dataclass(frozen=True)
class Shape:
    """A study that every way of searching is asked for."""

    num_trials: int
    ratios: tuple[float, ...] = RATIOS
    heads: tuple[int, ...] = HEADS
    is_quick: bool = False
    """Fewer steps, for trying the benchmark."""

    @property
    def num_keys(self) -> int:
        """Return the number of distinct pretrained states that trials can need."""
        return len(self.ratios) * len(self.heads)

    @property
    def name(self) -> str:
        """Return what files and tables call it."""
        return f"{self.num_trials}-trials-{self.num_keys}-keys" + (
            "-quick" if self.is_quick else ""
        )

    def space(self, seed: int, sampler: Sampler = "random", pruner: Pruner = "none") -> str:
        """Return the search space as the text of a file that `ss3d search` takes.

        Args:
            seed: of the study: of the sampler, the split, and both phases of every trial.
            sampler: proposes values.
            pruner: decides who goes on.
        """
        fixed = _BASE | (_QUICK if self.is_quick else {})
        lines = ["[study]", f"seed = {seed}", "", "[base]", 'preset = "tiny"']
        lines += [f"{path} = {value}" for path, value in fixed.items()]
        lines += ["", "[sampler]", f'name = "{sampler}"', "", "[pruner]", f'name = "{pruner}"']
        if pruner == "asha":
            lines += [f"first_rung = {FIRST_RUNG}", f"reduction_factor = {FACTOR}"]
        lines += ["", "[budget]", f"trials = {self.num_trials}"]
        for path, choices in (
            ("data.labeled_ratio", self.ratios),
            ("model.num_heads", self.heads),
        ):
            lines += ["", f'[parameters."{path}"]', 'type = "categorical"']
            lines += [f"choices = {list(choices)}"]
        for path, (low, high) in _RANGES.items():
            lines += ["", f'[parameters."{path}"]', 'type = "float"']
            lines += [f"low = {low}", f"high = {high}"]
        return "\n".join(lines) + "\n"


def rungs(num_epochs: int) -> list[int]:
    """Return the epochs where trials are compared, and the last one."""
    powers = (FIRST_RUNG * FACTOR**k for k in itertools.count())
    return [*itertools.takewhile(lambda epoch: epoch < num_epochs, powers), num_epochs]


def halved_share(num_epochs: int) -> float:
    """Return the share of all teacher-student epochs that synchronous halving trains.

    At every rung the best 1 / FACTOR go on: with rungs at 2, 8 and 30 of 30 epochs that is
    2/30 + 1/4 * 6/30 + 1/16 * 22/30 = 0.1625.
    """
    ends = rungs(num_epochs)
    lengths = [end - start for start, end in itertools.pairwise([0, *ends])]
    return sum(length / FACTOR**k for k, length in enumerate(lengths)) / num_epochs


@dataclass(frozen=True)
class EpochSeconds:
    """Mean seconds of a whole trial by part, as measured on trials that nothing cut short."""

    pretrain_s: float
    start_s: float
    """Of epoch 0 of the teacher-student phase: the pretrained value is measured, and not trained.
    Every trial pays it."""
    semi_s: float

    def ceiling(
        self, num_trials: int, num_epochs: int, num_keys: int | None, is_halved: bool
    ) -> float:
        """Return how many times less a search can cost: arithmetic, with synchronous halving.

        N trials of p pretraining and s teacher-student seconds cost N (p + s). Sharing turns N p
        into G p for G pretrained states, halving turns N s into N s times `halved_share`.

        Args:
            num_trials: N.
            num_epochs: of the teacher-student phase.
            num_keys: G if pretrained states are shared, else None.
            is_halved: whether trials are stopped.
        """
        pretrains = num_trials if num_keys is None else min(num_keys, num_trials)
        share = halved_share(num_epochs) if is_halved else 1.0
        plain_s = num_trials * (self.pretrain_s + self.start_s + self.semi_s)
        each_s = self.start_s + self.semi_s * share
        return plain_s / (pretrains * self.pretrain_s + num_trials * each_s)
