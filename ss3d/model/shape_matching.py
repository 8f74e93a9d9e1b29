"""Shape-matching transformer: three stages that deform the shell in feature space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, assert_never

import torch
from torch import Tensor, nn

from ss3d.model.attribute_flow import SemanticBasis, adaptive_instance_norm
from ss3d.model.point_transformer import Graph, PointTransformerBlock, gather
from ss3d.points.shell import neighbors


class Steering(NamedTuple):
    """What the image says about every point."""

    geometry: Tensor
    """G (B, N, d_s) of the geometry module."""
    attributes: Tensor
    """z (B, d_z) of the semantic module."""


class Stage(nn.Module):
    """PTBlock, AdaIN by the geometric code, plus the semantic term: eqs. 10-15.

    gamma and beta from the code: eq. 10 (medium, per point as AttriFlow); AdaIN: 12-13 (high); the
    semantic term of eq. 11 (medium-high) is added: 14-15 (medium, AttriFlow's sum).
    """

    def __init__(self, block: PointTransformerBlock, basis: SemanticBasis, style_width: int):
        """Create the stage around a block and a basis of the same channels.

        Args:
            block: c_in -> C.
            basis: N x C.
            style_width: d_s of the geometric code.
        """
        super().__init__()
        channels = basis.mean.shape[1]
        self.block = block
        self.basis = basis
        self.style = nn.Linear(style_width, 2 * channels)
        nn.init.normal_(self.style.weight, std=0.02)
        with torch.no_grad():
            self.style.bias.copy_(torch.arange(2 * channels) < channels)  # gamma 1, beta 0

    def forward(self, features: Tensor, graph: Graph, steering: Steering) -> Tensor:
        """Return h_l (B, N, C) from h_{l-1} (B or 1, N, c_in)."""
        scale, shift = self.style(steering.geometry).chunk(2, dim=-1)
        matched = adaptive_instance_norm(self.block(features, graph), scale, shift)
        return matched + self.basis(steering.attributes)


class ShapeMatching(nn.Module):
    """The stages and the graphs between them.

    "Progressive deformation" has no equation: in feature space by default, as AttriFlow;
    `progressive` coordinates, and the other graphs, are our options.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        graph: Literal["sphere", "feature", "coords"],
        spacing: float,
        progressive: bool,
    ):
        """Create the sequence.

        Args:
            stages: in order; the first takes the shell's coordinates.
            graph: neighbors on the shell, among the features, or on the cloud so far.
            spacing: mean neighbor distance of the shell, the unit of the offsets.
            progressive: predict coordinates after every stage (ours, off in the paper's text).
        """
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.graph = graph
        self.spacing = spacing
        self.moves = nn.ModuleList(_still(stage) for stage in stages) if progressive else None

    def forward(
        self, shell: Tensor, graph: Graph, steering: Steering
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the features h_3 (B, N, C) and, if progressive, the clouds P_1, P_2, P_3.

        Args:
            shell: P_0 (1, N, 3).
            graph: of the shell.
            steering: from the geometry and semantic modules.
        """
        features, clouds = shell, [shell]
        for number, stage in enumerate(self.stages):
            if number > 0:
                graph = self._next_graph(graph, features, clouds[-1])
            features = stage(features, graph, steering)
            if self.moves is not None:
                offsets = self.moves[number](features).float()
                clouds.append(clouds[-1] + offsets.tanh())
        return features, clouds[1:]

    def _next_graph(self, graph: Graph, features: Tensor, cloud: Tensor) -> Graph:
        k = graph.index.shape[-1]
        match self.graph:
            case "sphere":
                if self.moves is None:
                    return graph
                index = graph.index
            case "feature":
                index = neighbors(features, k)
            case "coords":
                index = neighbors(cloud, k)
            case _:
                assert_never(self.graph)
        return Graph(index, relative_offsets(cloud, index, self.spacing))


def relative_offsets(cloud: Tensor, index: Tensor, spacing: float) -> Tensor:
    """Return (p_i - p_j) / spacing, (B or 1, N, k, 3), of a cloud (B or 1, N, 3)."""
    return (cloud.unsqueeze(2) - gather(cloud, index)) / spacing


def _still(stage: Stage) -> nn.Linear:
    """Return the layer C -> 3 that moves points, starting at zero."""
    move = nn.Linear(stage.basis.mean.shape[1], 3)
    nn.init.zeros_(move.weight)
    nn.init.zeros_(move.bias)
    return move
