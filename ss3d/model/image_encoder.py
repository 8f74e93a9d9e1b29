"""Image to feature map to tokens: a ResNet-50 trunk or a small group-normalized CNN."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ss3d.errors import CheckpointError, ConfigError, ServiceError

Perturb = Callable[[str, Tensor], Tensor]
"""Called at `image_map` (B, C, h, w), `tokens` (B, M, d), `points` (B, N, d); keeps the shape."""


class ImageEncoder(nn.Module):
    """Tokens F_I = LN(flatten(F_map) W + b) + E_pos.

    The paper says "pretrained ResNet-50" and gives no equation; several tokens, the norm and the
    positions are ours.
    """

    def __init__(self, trunk: Trunk, image_size: int, width: int):
        """Create the projection behind a trunk.

        Args:
            trunk: image to feature map.
            image_size: side S of the input in pixels.
            width: d of the tokens.
        """
        super().__init__()
        side = image_size
        for _ in range(trunk.num_halvings):
            side = (side + 1) // 2
        self.trunk = trunk
        self.projection = nn.Linear(trunk.num_channels, width)
        self.norm = nn.LayerNorm(width)
        self.positions = nn.Parameter(torch.empty(1, side * side, width))
        nn.init.trunc_normal_(self.positions, std=0.02)

    def forward(self, images: Tensor, perturb: Perturb) -> Tensor:
        """Return tokens (B, M, d) of images (B, 3, S, S), perturbed at `image_map` and `tokens`."""
        feature_map = perturb("image_map", self.trunk(images))  # (B, C, h, w), h w = M
        tokens = self.norm(self.projection(feature_map.flatten(2).mT)) + self.positions
        return perturb("tokens", tokens)


class Trunk(nn.Sequential):
    """Layers from images (B, 3, S, S) to a feature map (B, C, S / 2^halvings, …)."""

    num_channels: int
    num_halvings: int

    statistics_frozen = False
    """Keep batch-norm statistics as they are, also in training mode."""

    def freeze_statistics(self) -> None:
        """Keep the batch-norm statistics from now on, also after `train()`."""
        self.statistics_frozen = True
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set training mode, but leave frozen statistics alone."""
        super().train(mode)
        if self.statistics_frozen:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self


class GroupNormTrunk(Trunk):
    """Stride-2 3x3 convolutions, each with GroupNorm(8) and ReLU (ours, for images of 64)."""

    def __init__(self, widths: Sequence[int]):
        layers: list[nn.Module] = []
        for before, after in zip((3, *widths), widths, strict=False):
            convolution = nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False)
            layers += [convolution, nn.GroupNorm(8, after), nn.ReLU(inplace=True)]
        super().__init__(*layers)
        self.num_channels = widths[-1]
        self.num_halvings = len(widths)


class ResNetTrunk(Trunk):
    """ResNet-50 without pooling and classifier, under torchvision's names of the layers."""

    def __init__(self, features: Literal["layer3", "layer4"]):
        """Create the trunk at random; `load` gives it trained weights.

        Args:
            features: the last layer kept: stride 16 with 1024 channels, or 32 with 2048.
        """
        from torchvision.models import resnet50

        dropped = {"avgpool", "fc"} | ({"layer4"} if features == "layer3" else set())
        children = resnet50(weights=None).named_children()
        super().__init__(OrderedDict((n, child) for n, child in children if n not in dropped))
        self.num_channels, self.num_halvings = {"layer3": (1024, 4), "layer4": (2048, 5)}[features]

    def load(self, path: Path) -> None:
        """Take the weights of a safetensors file with torchvision's names; `fc.*` is ignored.

        Raises:
            CheckpointError: not such a file, or names or shapes differ.
        """
        try:
            given = load_file(path)
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{path}: not a readable safetensors file: {error}") from error
        expected = self.state_dict()
        ignored = ("fc.",) if "layer4.0.conv1.weight" in expected else ("fc.", "layer4.")
        given = {name: value for name, value in given.items() if not name.startswith(ignored)}
        faults = [f"{name} is missing" for name in expected.keys() - given.keys()]
        faults += [f"{name} is unknown" for name in given.keys() - expected.keys()]
        faults += [
            f"{name} has shape {tuple(given[name].shape)}, expected {tuple(expected[name].shape)}"
            for name in expected.keys() & given.keys()
            if given[name].shape != expected[name].shape
        ]
        if faults:
            shown = "; ".join(sorted(faults)[:5]) + ("; …" if len(faults) > 5 else "")
            raise CheckpointError(
                f"{path}: not ResNet-50 weights with torchvision's names, {len(faults)} "
                f"differences: {shown}"
            )
        self.load_state_dict(given)


def torchvision_weights(name: str = "IMAGENET1K_V2") -> dict[str, Tensor]:
    """Download ResNet-50 weights through torchvision.

    Args:
        name: member of `torchvision.models.ResNet50_Weights`.

    Raises:
        ConfigError: there is no such member.
        ServiceError: the download failed.
    """
    from torchvision.models import ResNet50_Weights

    if name not in ResNet50_Weights.__members__:
        known = ", ".join(ResNet50_Weights.__members__)
        raise ConfigError(f"weights: got {name!r}, expected one of {known}")
    try:
        return dict(ResNet50_Weights[name].get_state_dict(progress=False, check_hash=True))
    except (OSError, RuntimeError) as error:
        raise ServiceError(f"torchvision's {name} weights cannot be downloaded: {error}") from error
