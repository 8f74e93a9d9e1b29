"""All that a trial is between two epochs.

No random-number state is kept: randomness is a function of (seed, phase, step, branch).
"""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ss3d.config import TrialConfig
from ss3d.errors import CheckpointError
from ss3d.model.network import Network, build_network
from ss3d.training.optimizer import make_optimizer
from ss3d.trial import files
from ss3d.trial.records import EpochReport, Phase

Weights = dict[str, Tensor]


@dataclass
class TrialState:
    """A trial after some epochs of a phase; owned by the caller of `run_trial`."""

    config: TrialConfig
    student: Network
    teacher: Network | None
    optimizer: torch.optim.AdamW
    phase: Phase
    epoch: int
    """Epochs of the phase that are done; -1 before the pretrained value was reported."""
    best: Weights
    """The student's weights after the best epoch of the phase."""
    best_epoch: int = 0
    best_value: float = float("inf")
    """Lowest val/cd_l1 of the phase; of teacher-student epochs from 1 on."""
    pretrained_value: float | None = None
    reports: list[EpochReport] = field(default_factory=list)

    @property
    def device(self) -> torch.device:
        """Return where the networks live."""
        return next(self.student.parameters()).device

    @property
    def pretrained(self) -> bool:
        """Return whether the pretraining phase is over: all epochs done, or patience used up."""
        config = self.config.pretrain
        return self.phase == "semi" or (
            self.epoch >= config.epochs or self.epoch - self.best_epoch >= config.patience
        )

    @property
    def finished(self) -> bool:
        """Return whether there is nothing left to train."""
        last = self.config.semi.epochs if self.config.semi.enabled else 0
        return self.phase == "semi" and self.epoch >= last

    def begin_epoch(self) -> Phase | None:
        """Return the phase of the next epoch, entering the second when the first is over."""
        if self.finished:
            return None
        if self.phase == "pretrain" and self.pretrained:
            self._enter_semi(self.best)
        return self.phase

    def _enter_semi(self, weights: Weights) -> None:
        """Start the teacher-student phase: both networks are the best pretrained one."""
        self.student.load_state_dict(weights)
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        self.optimizer = semi_optimizer(self.config, self.student)
        self.phase, self.epoch = "semi", -1
        self.best = copy_weights(self.student)
        self.best_epoch, self.best_value, self.pretrained_value = 0, float("inf"), None

    def epoch_steps(self) -> range:
        """Return the optimizer steps of the epoch that comes next; none for epoch 0."""
        config = self.config.pretrain if self.phase == "pretrain" else self.config.semi
        if self.epoch < 0:
            return range(0)
        first, last = (config.steps * e // config.epochs for e in (self.epoch, self.epoch + 1))
        return range(first, last)

    def gain(self, value: float) -> float:
        """Return pretrained value minus this one: positive is better than pretraining alone."""
        return 0.0 if self.pretrained_value is None else self.pretrained_value - value

    def epoch_done(
        self,
        metrics: dict[str, float],
        system: dict[str, float],
        per_model: tuple[float, ...] = (),
    ) -> EpochReport:
        """Count the epoch, keep the best weights and return its report."""
        step = self.epoch_steps().stop
        self.epoch += 1
        value = metrics["val/cd_l1"]
        if self.phase == "semi" and self.epoch == 0:
            self.pretrained_value = value
        elif value < self.best_value:
            self.best, self.best_epoch, self.best_value = (
                copy_weights(self.student),
                self.epoch,
                value,
            )
        report = EpochReport(
            phase=self.phase,
            epoch=self.epoch,
            step=step,
            metrics=metrics,
            system=system,
            digest=digest(self.student),
            per_model=per_model,
        )
        self.reports.append(report)
        return report


def new_state(config: TrialConfig, weights: Path | None, device: torch.device) -> TrialState:
    """Return the state before the first epoch of pretraining.

    Args:
        config: of the trial.
        weights: safetensors file of the ResNet-50 trunk, when `model.weights` is set.
        device: where it trains.

    Raises:
        CheckpointError: the weights do not fit, or `model.weights` is set and none are given.
    """
    if (config.model.weights is None) != (weights is None):
        raise CheckpointError(
            f"model.weights = {config.model.weights}: got the file {weights}; add it by "
            "`ss3d weights add resnet50 FILE` and set model.weights to the sha256 it prints"
        )
    student = build(config, device, weights)
    return TrialState(
        config=config,
        student=student,
        teacher=None,
        optimizer=pretrain_optimizer(config, student),
        phase="pretrain",
        epoch=0,
        best=copy_weights(student),
    )


def pretrained_state(config: TrialConfig, directory: Path, device: torch.device) -> TrialState:
    """Return the state at the start of the teacher-student phase from a shared pretrained one.

    Args:
        config: of the trial; its P1 fields are those of the pretrained state.
        directory: what `export_best` wrote after pretraining.
        device: where it trains.

    Raises:
        CheckpointError: the weights are damaged or do not fit.
    """
    student = build(config, device)
    weights = files.read_weights(directory / "student.safetensors", files.recorded_sha(directory))
    load_weights(student, weights, directory)
    state = TrialState(
        config=config,
        student=student,
        teacher=None,
        optimizer=semi_optimizer(config, student),
        phase="pretrain",
        epoch=config.pretrain.epochs,
        best=copy_weights(student),
    )
    state.begin_epoch()
    return state


def load_weights(network: Network, weights: Weights, origin: Path) -> None:
    """Copy weights into a network.

    Raises:
        CheckpointError: names or shapes differ; says which and what to set.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    got = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    for name in sorted(expected.keys() | got.keys()):
        if expected.get(name) != got.get(name):
            raise CheckpointError(
                f"{origin}: {name} has shape {got.get(name, 'none')}, the configuration asks "
                f"{expected.get(name, 'none')}; use the config.json that it was trained with"
            )
    network.load_state_dict(weights)


def copy_weights(network: Network) -> Weights:
    """Return a copy of a network's weights that training does not change."""
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def digest(network: Network) -> str:
    """Return the sha256 of a network's weights: names and bytes in order."""
    sha = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        sha.update(name.encode())
        sha.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()


def build(config: TrialConfig, device: torch.device, weights: Path | None = None) -> Network:
    """Return the network of a configuration with its seeded initial weights."""
    network = build_network(
        config.model, config.data.image_size, seed=config.pretrain.seed, weights=weights
    )
    network.precision = config.numerics.precision
    return network.to(device)


def pretrain_optimizer(config: TrialConfig, student: Network) -> torch.optim.AdamW:
    """Return a fresh optimizer of the pretraining phase."""
    pretrain = config.pretrain
    return make_optimizer(
        student.parameter_groups(pretrain.lr, pretrain.backbone_lr_mult, pretrain.weight_decay)
    )


def semi_optimizer(config: TrialConfig, student: Network) -> torch.optim.AdamW:
    """Return a fresh optimizer of the teacher-student phase."""
    semi = config.semi
    return make_optimizer(
        student.parameter_groups(semi.lr, semi.backbone_lr_mult, semi.weight_decay)
    )
