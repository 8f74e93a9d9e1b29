"""Colors of procedural objects."""

from __future__ import annotations

import numpy as np

from ss3d.data.solids import Color

WOODS: tuple[Color, ...] = ((0.55, 0.35, 0.2), (0.72, 0.53, 0.34), (0.35, 0.22, 0.14))
METALS: tuple[Color, ...] = ((0.6, 0.62, 0.65), (0.2, 0.2, 0.22), (0.8, 0.8, 0.78))
FABRICS: tuple[Color, ...] = (
    (0.65, 0.2, 0.18),
    (0.2, 0.32, 0.55),
    (0.25, 0.45, 0.3),
    (0.75, 0.68, 0.55),
    (0.3, 0.28, 0.3),
    (0.8, 0.55, 0.2),
)
PAINTS: tuple[Color, ...] = (
    (0.7, 0.12, 0.1),
    (0.15, 0.3, 0.6),
    (0.85, 0.85, 0.85),
    (0.2, 0.4, 0.25),
    (0.85, 0.65, 0.1),
    (0.3, 0.3, 0.33),
)
GLASS: Color = (0.12, 0.16, 0.2)
METAL: Color = (0.55, 0.57, 0.6)
WHITE: Color = (0.9, 0.9, 0.88)
WOOD: Color = (0.62, 0.5, 0.36)
RUBBER: Color = (0.08, 0.08, 0.08)


def pick(rng: np.random.Generator, *palettes: tuple[Color, ...]) -> Color:
    """Return a color of the palettes, slightly varied."""
    choices = [color for palette in palettes for color in palette]
    r, g, b = np.clip(choices[rng.integers(len(choices))] + rng.normal(0, 0.04, 3), 0.05, 0.95)
    return float(r), float(g), float(b)
