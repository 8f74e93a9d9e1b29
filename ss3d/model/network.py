"""The SS3D network: one image to one cloud. The only file of this room that reads ModelConfig."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, assert_never

import torch
from torch import Tensor, nn

from ss3d.config import ModelConfig
from ss3d.errors import ConfigError
from ss3d.model.attribute_flow import (
    GeometryModule,
    SemanticBasis,
    SemanticModule,
    orthogonality,
)
from ss3d.model.decoder import mlp_decoder, self_attention_decoder
from ss3d.model.hetero_attention import HeteroAttention, MeanTokenAddition
from ss3d.model.image_encoder import GroupNormTrunk, ImageEncoder, Perturb, ResNetTrunk, Trunk
from ss3d.model.point_encoder import PointEncoder
from ss3d.model.point_transformer import Graph, OffsetNorm, PointTransformerBlock
from ss3d.model.shape_matching import ShapeMatching, Stage, Steering, relative_offsets
from ss3d.points.shell import fibonacci_sphere, mean_spacing, neighbors


class Network(nn.Module):
    """Image encoder, HFA, geometry and semantic modules, shape matching, decoder (method 2-7).

    What does not depend on the sample (point encoder, shell graph, first block, position
    encodings on the shell) runs once per forward at batch 1.
    """

    shell: Tensor
    shell_index: Tensor
    shell_offsets: Tensor

    def __init__(self, config: ModelConfig, image_size: int):
        """Create the network at random, from torch's global generator; see `build_network`.

        Args:
            config: all widths and switches.
            image_size: side S of the input in pixels.
        """
        super().__init__()
        self.has_resnet = config.backbone == "resnet50"
        self.precision: Literal["fp32", "bf16"] = "fp32"
        shell = fibonacci_sphere(config.num_points, config.shell_radius)
        index = neighbors(shell, config.num_neighbors)
        spacing = mean_spacing(shell, index)
        self.register_buffer("shell", shell.unsqueeze(0))
        self.register_buffer("shell_index", index.unsqueeze(0), persistent=False)
        offsets = relative_offsets(self.shell, self.shell_index, spacing)
        self.register_buffer("shell_offsets", offsets, persistent=False)
        self.image_encoder = ImageEncoder(_trunk(config), image_size, config.width)
        self.point_encoder = PointEncoder(config.width, config.theta)
        self.fusion = _fusion(config)
        self.geometry = GeometryModule(config.width, config.style_width)
        self.semantics = SemanticModule(config.width, config.style_width, config.semantic_input)
        self.shape_matching = ShapeMatching(
            _stages(config), config.graph, spacing, config.progressive_coords
        )
        self.decoder = _decoder(config)
        if config.freeze_backbone:
            self.image_encoder.trunk.requires_grad_(False)
            self.image_encoder.trunk.freeze_statistics()

    def forward(self, images: Tensor, perturb: Perturb | None = None) -> Tensor:
        """Return the predicted clouds.

        Args:
            images: (B, 3, S, S), normalized.
            perturb: feature perturbation; None leaves the features alone.

        Returns:
            (B, N, 3) fp32, object units; point i is the image of point i of the shell.
        """
        return self.forward_stages(images, perturb)[-1]

    def forward_stages(self, images: Tensor, perturb: Perturb | None = None) -> list[Tensor]:
        """Return all clouds, each (B, N, 3) fp32: P_1 to P_3 if progressive, the final last."""
        if self.precision == "fp32":
            return self._deform(images, perturb or _keep)
        with torch.autocast(images.device.type, torch.bfloat16):
            return self._deform(images, perturb or _keep)

    def _deform(self, images: Tensor, perturb: Perturb) -> list[Tensor]:
        graph = Graph(self.shell_index, self.shell_offsets)
        tokens = self.image_encoder(images, perturb)
        points, fused = self.fusion(self.point_encoder(self.shell, graph), tokens)
        points = perturb("points", points)
        image_token, fused_token = tokens.mean(dim=1), fused.mean(dim=1)
        steering = Steering(
            self.geometry(self.shell, points, fused_token),
            self.semantics(image_token, fused_token),
        )
        features, clouds = self.shape_matching(self.shell, graph, steering)
        last = clouds[-1] if clouds else self.shell
        return [*clouds, last + self.decoder(features).float()]

    def orthogonality(self) -> Tensor:
        """Return L_orth, eq. 19 (medium-high), its mean over the stages: a scalar in fp32."""
        bases = [m.basis for m in self.shape_matching.modules() if isinstance(m, SemanticBasis)]
        return torch.stack([orthogonality(basis) for basis in bases]).mean()

    def freeze_statistics(self) -> None:
        """Keep all batch-norm statistics fixed from now on, also after `train()`: trunk, theta."""
        for module in self.modules():
            if isinstance(module, Trunk | OffsetNorm):
                module.freeze_statistics()

    def parameter_groups(
        self, lr: float, backbone_lr_mult: float, weight_decay: float
    ) -> list[dict[str, Any]]:
        """Return the optimizer's groups: trunk or not, decayed or not; frozen ones left out.

        Only weights of linear and convolution layers decay: not norms, biases, positions and the
        semantic basis (decay would fight eq. 19).

        Args:
            lr: learning rate.
            backbone_lr_mult: factor on it for a ResNet-50 trunk.
            weight_decay: of the decayed ones.
        """
        decayed = {
            module.weight for module in self.modules() if isinstance(module, nn.Linear | nn.Conv2d)
        }
        trunk = set(self.image_encoder.trunk.parameters()) if self.has_resnet else set()
        groups = [
            {
                "params": [
                    p
                    for p in self.parameters()
                    if p.requires_grad and (p in trunk, p in decayed) == (in_trunk, decays)
                ],
                "lr": lr * backbone_lr_mult if in_trunk else lr,
                "weight_decay": weight_decay if decays else 0.0,
            }
            for in_trunk in (False, True)
            for decays in (True, False)
        ]
        return [group for group in groups if group["params"]]


def build_network(
    config: ModelConfig, image_size: int, seed: int, weights: Path | None = None
) -> Network:
    """Return a network on the CPU whose weights depend on the arguments only.

    The global random state is left as it was.

    Args:
        config: all widths and switches.
        image_size: side S of the input in pixels.
        seed: of the initial weights.
        weights: safetensors file with ResNet-50's, torchvision's names.

    Raises:
        ConfigError: weights are given for a trunk that is not ResNet-50.
        CheckpointError: the weights do not fit.
    """
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.manual_seed(seed)
        network = Network(config, image_size)
    if weights is not None:
        trunk = network.image_encoder.trunk
        if not isinstance(trunk, ResNetTrunk):
            raise ConfigError("model.weights: weights are for model.backbone = 'resnet50' only")
        trunk.load(weights)
    return network


def _keep(site: str, features: Tensor) -> Tensor:
    return features


def _trunk(config: ModelConfig) -> Trunk:
    match config.backbone:
        case "resnet50":
            return ResNetTrunk(config.image_features)
        case "cnn":
            return GroupNormTrunk(config.cnn_widths)
        case _:
            assert_never(config.backbone)


def _fusion(config: ModelConfig) -> nn.Module:
    if config.use_hfa:
        return HeteroAttention(config.width, config.num_heads, config.num_hfa_layers)
    return MeanTokenAddition(config.width)


def _stages(config: ModelConfig) -> list[Stage]:
    return [
        Stage(
            PointTransformerBlock(before, after, 0.2, config.theta),
            SemanticBasis(config.num_basis, config.num_points, after, config.style_width),
            config.style_width,
        )
        for before, after in zip((3, *config.stage_widths), config.stage_widths, strict=False)
    ]


def _decoder(config: ModelConfig) -> nn.Sequential:
    width = config.stage_widths[-1]
    match config.decoder:
        case "self_attention":
            heads = config.num_decoder_heads or config.num_heads
            return self_attention_decoder(width, config.num_decoder_blocks, heads)
        case "mlp":
            return mlp_decoder(width)
        case _:
            assert_never(config.decoder)
