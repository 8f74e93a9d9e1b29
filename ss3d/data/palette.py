"""Colours of procedural objects."""

from __future__ import annotations

import numpy as np

from ss3d.data.solids import Colour

WOODS: tuple[Colour, ...] = ((0.55, 0.35, 0.2), (0.72, 0.53, 0.34), (0.35, 0.22, 0.14))
METALS: tuple[Colour, ...] = ((0.6, 0.62, 0.65), (0.2, 0.2, 0.22), (0.8, 0.8, 0.78))
FABRICS: tuple[Colour, ...] = (
    (0.65, 0.2, 0.18),
    (0.2, 0.32, 0.55),
    (0.25, 0.45, 0.3),
    (0.75, 0.68, 0.55),
    (0.3, 0.28, 0.3),
    (0.8, 0.55, 0.2),
)
PAINTS: tuple[Colour, ...] = (
    (0.7, 0.12, 0.1),
    (0.15, 0.3, 0.6),
    (0.85, 0.85, 0.85),
    (0.2, 0.4, 0.25),
    (0.85, 0.65, 0.1),
    (0.3, 0.3, 0.33),
)
GLASS: Colour = (0.12, 0.16, 0.2)
METAL: Colour = (0.55, 0.57, 0.6)
WHITE: Colour = (0.9, 0.9, 0.88)
WOOD: Colour = (0.62, 0.5, 0.36)
RUBBER: Colour = (0.08, 0.08, 0.08)


def pick(rng: np.random.Generator, *palettes: tuple[Colour, ...]) -> Colour:
    """Return a colour of the palettes, slightly varied."""
    choices = [colour for palette in palettes for colour in palette]
    r, g, b = np.clip(choices[rng.integers(len(choices))] + rng.normal(0, 0.04, 3), 0.05, 0.95)
    return float(r), float(g), float(b)
