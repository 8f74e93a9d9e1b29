"""Parametric chairs, tables, cabinets, sofas and lamps."""

from __future__ import annotations

import math

import numpy as np

from ss3d.data.palette import FABRICS, METALS, WOODS, pick
from ss3d.data.solids import Color, Mesh, Solids


def chair(rng: np.random.Generator) -> Mesh:
    """Build a chair: seat, back, four legs or a star foot, sometimes arms."""
    solids = Solids()
    frame, seat = pick(rng, WOODS, METALS), pick(rng, FABRICS, WOODS)
    width, depth = rng.uniform(0.42, 0.55), rng.uniform(0.42, 0.52)
    height, thick = rng.uniform(0.4, 0.5), rng.uniform(0.03, 0.09)
    solids.pillow((0, height, 0), (width, thick, depth), seat, 0.02)
    if rng.random() < 0.25:
        _star_foot(solids, width, height - thick / 2, frame)
    else:
        splay, radius = rng.uniform(0, 0.05), rng.uniform(0.014, 0.026)
        _legs(solids, (width, depth), height, (splay, radius), frame)
    tall, lean = rng.uniform(0.38, 0.6), rng.uniform(0.0, 0.1)
    _chair_back(solids, rng, (width, depth, height, tall, lean), (frame, seat))
    if rng.random() < 0.35:
        _arms(solids, (width, depth, height), rng.uniform(0.18, 0.24), frame)
    return solids.mesh().canonical()


def table(rng: np.random.Generator) -> Mesh:
    """Build a table: rectangular or round top, on legs, a pedestal or two panels."""
    solids = Solids()
    top, frame = pick(rng, WOODS, METALS), pick(rng, WOODS, METALS)
    width, depth = rng.uniform(0.9, 1.8), rng.uniform(0.6, 0.95)
    height, thick = rng.uniform(0.42, 0.78), rng.uniform(0.025, 0.06)
    if rng.random() < 0.3:
        radius = width * 0.42
        solids.lathe([(radius, height - thick), (radius, height)], (0, 0), top)
        profile = [(0.3, 0), (0.28, 0.03), (0.05, 0.07), (0.05, height - thick)]
        solids.lathe([(r * radius / 0.5, y) for r, y in profile], (0, 0), frame)
        return solids.mesh().canonical()
    solids.box((0, height - thick / 2, 0), (width, thick, depth), top)
    if rng.random() < 0.25:
        for side in (-1, 1):
            place = (side * (width / 2 - 0.06), (height - thick) / 2, 0)
            solids.box(place, (0.04, height - thick, depth * 0.9), frame)
    else:
        radius = rng.uniform(0.02, 0.045)
        _legs(
            solids,
            (width * 0.94, depth * 0.94),
            height - thick / 2,
            (rng.uniform(-0.02, 0.03), radius),
            frame,
        )
    if rng.random() < 0.5:
        low = height * rng.uniform(0.2, 0.85)
        solids.box((0, low, 0), (width * 0.86, 0.03, depth * 0.82), frame)
    return solids.mesh().canonical()


def cabinet(rng: np.random.Generator) -> Mesh:
    """Build a cabinet with doors or drawers, or an open shelf."""
    solids = Solids()
    body, front = pick(rng, WOODS, METALS), pick(rng, WOODS, FABRICS)
    width, depth = rng.uniform(0.5, 1.4), rng.uniform(0.35, 0.6)
    height, foot = rng.uniform(0.6, 1.7), rng.uniform(0.0, 0.12)
    rows, columns = int(rng.integers(1, 5)), int(rng.integers(1, 4))
    if foot > 0.03:
        _legs(solids, (width, depth), foot + 0.01, (0, 0.03), front)
    if rng.random() < 0.35:
        _shelves(solids, (width, height, depth, foot), rows + 1, body)
        return solids.mesh().canonical()
    solids.box((0, foot + height / 2, 0), (width, height, depth), body)
    cell_w, cell_h = (width - 0.03) / columns, (height - 0.03) / rows
    for row in range(rows):
        for column in range(columns):
            x = (column + 0.5) * cell_w - (width - 0.03) / 2
            y = foot + 0.015 + (row + 0.5) * cell_h
            solids.box((x, y, depth / 2), (cell_w - 0.025, cell_h - 0.025, 0.03), front)
            wide = cell_h < cell_w
            size = (0.1, 0.015, 0.03) if wide else (0.015, 0.1, 0.03)
            shift = 0 if wide else cell_w * 0.36 * (1 if column % 2 == 0 else -1)
            solids.box((x + shift, y, depth / 2 + 0.025), size, METALS[1])
    return solids.mesh().canonical()


def sofa(rng: np.random.Generator) -> Mesh:
    """Build a sofa: base, back, arms and cushions, sometimes with a chaise."""
    solids = Solids()
    cover = pick(rng, FABRICS)
    cushion = cover if rng.random() < 0.5 else pick(rng, FABRICS)
    seats = int(rng.integers(1, 4))
    width, depth = 0.35 + 0.55 * seats * rng.uniform(0.9, 1.15), rng.uniform(0.75, 0.95)
    height, tall = rng.uniform(0.32, 0.42), rng.uniform(0.3, 0.48)
    arm, arm_height = rng.uniform(0.1, 0.22), rng.uniform(0.12, 0.28)
    solids.pillow((0, height / 2 + 0.04, 0), (width, height - 0.08, depth), cover, 0.03)
    solids.pillow((0, height + tall / 2, -depth / 2 + 0.11), (width, tall + 0.1, 0.22), cover, 0.05)
    for side in (-1, 1):
        place = (side * (width / 2 - arm / 2), (height + arm_height) / 2 + 0.03, 0)
        solids.pillow(place, (arm, height + arm_height - 0.06, depth), cover, 0.05)
    inner = (width - 2 * arm) / seats
    for seat in range(seats):
        x = -width / 2 + arm + (seat + 0.5) * inner
        size = (inner - 0.02, 0.14, depth - 0.24)
        solids.pillow((x, height + 0.04, 0.11), size, cushion, 0.04)
        back = (inner - 0.04, tall * 0.8, 0.14)
        solids.pillow((x, height + 0.1 + tall * 0.4, -depth / 2 + 0.27), back, cushion, 0.05)
    if seats > 1 and rng.random() < 0.3:
        side = rng.choice((-1, 1))
        place = (side * (width / 2 - inner / 2 - arm / 2), height / 2 + 0.06, depth / 2 + 0.3)
        solids.pillow(place, (inner + arm, height, 0.62), cover, 0.04)
    _legs(solids, (width * 0.95, depth * 0.95), 0.08, (0, 0.025), WOODS[2])
    return solids.mesh().canonical()


def lamp(rng: np.random.Generator) -> Mesh:
    """Build a table or floor lamp, a hanging lamp or a desk lamp with an arm."""
    solids = Solids()
    metal, shade = pick(rng, METALS, WOODS), pick(rng, FABRICS, ((0.9, 0.88, 0.8),))
    low, high = rng.uniform(0.16, 0.28), rng.uniform(0.06, 0.18)
    tall = rng.uniform(0.16, 0.32)
    match rng.integers(3):
        case 0:
            height = rng.uniform(0.35, 1.5)
            foot = rng.uniform(0.1, 0.18)
            bulge = rng.uniform(0.015, 0.09) if height < 0.7 else 0.018
            profile = [
                (foot, 0),
                (foot, 0.025),
                (0.02, 0.05),
                (bulge, height * 0.4),
                (0.015, height),
            ]
            solids.lathe(profile, (0, 0), metal)
            solids.lathe([(low, height - 0.02), (high, height + tall)], (0, 0), shade)
        case 1:
            length = rng.uniform(0.3, 0.9)
            profile = [(low, 0), (low * 0.85, tall * 0.5), (high * 0.5, tall)]
            solids.lathe(profile, (0, 0), shade)
            solids.lathe([(0.012, tall * 0.9), (0.012, tall + length)], (0, 0), metal)
            solids.lathe([(0.08, tall + length), (0.05, tall + length + 0.04)], (0, 0), metal)
        case _:
            reach, rise = rng.uniform(0.15, 0.3), rng.uniform(0.3, 0.5)
            solids.lathe([(0.13, 0), (0.12, 0.03)], (0, 0), metal)
            knee, head = (0, rise, -reach * 0.6), (0, rise * 1.35, reach)
            solids.tube([(0, 0.02, 0), knee], (0.014, 0.014), metal)
            solids.tube([knee, head], (0.014, 0.014), metal)
            tip = (0, head[1] - 0.14, head[2] + 0.1)
            solids.tube([(0, head[1] + 0.02, head[2] - 0.02), tip], (0.035, 0.12), shade, 16)
    return solids.mesh().canonical()


def _legs(
    solids: Solids,
    plan: tuple[float, float],
    height: float,
    shape: tuple[float, float],
    color: Color,
) -> None:
    """Add four tapered legs at the corners of a plan; `shape` is their splay and radius."""
    splay, radius = shape
    for x in (-1, 1):
        for z in (-1, 1):
            top = np.array((x * (plan[0] / 2 - radius), height, z * (plan[1] / 2 - radius)))
            foot = np.add(top, (x * splay, -height, z * splay))
            solids.tube([foot, top], (0.75 * radius, radius), color, 8)


def _star_foot(solids: Solids, width: float, height: float, color: Color) -> None:
    """Add a column on five spokes."""
    solids.tube([(0, 0.06, 0), (0, height, 0)], (0.03, 0.025), color)
    for spoke in range(5):
        angle = 2 * math.pi * spoke / 5
        end = (0.5 * width * math.cos(angle), 0.03, 0.5 * width * math.sin(angle))
        solids.tube([(0, 0.08, 0), end], (0.025, 0.018), color, 8)


def _chair_back(
    solids: Solids,
    rng: np.random.Generator,
    sizes: tuple[float, float, float, float, float],
    colors: tuple[Color, Color],
) -> None:
    """Add a solid, slatted or barred back that leans backwards."""
    width, depth, height, tall, lean = sizes
    frame, panel = colors

    def place(x: float, share: float) -> tuple[float, float, float]:
        return x, height + share * tall, -depth / 2 + 0.02 - lean * share

    def board(low: float, high: float, color: Color) -> None:
        corners = [(-width / 2, low), (width / 2, low), (width / 2, high), (-width / 2, high)]
        rings = [
            [np.add(place(x * 0.96, share), (0, 0, z)) for x, share in corners]
            for z in (-0.018, 0.018)
        ]
        solids.loft(rings, color)

    bars: list[float] = []
    radius = 0.0
    match rng.integers(3):
        case 0:
            board(rng.uniform(0, 0.3), 1, panel)
        case 1:
            for number in range(3):
                board(0.3 + 0.25 * number, 0.42 + 0.25 * number, frame)
            bars, radius = [-0.48, 0.48], 0.02
        case _:
            board(0.86, 1, frame)
            bars, radius = np.linspace(-0.48, 0.48, 6).tolist(), 0.012
    for x in bars:
        solids.tube([place(x * width, -0.05), place(x * width, 1)], (radius, radius), frame, 8)


def _arms(solids: Solids, sizes: tuple[float, float, float], rise: float, color: Color) -> None:
    """Add two arm rests on posts."""
    width, depth, height = sizes
    for x in (-1, 1):
        side = x * (width / 2 - 0.005)
        solids.box((side, height + rise, 0.01), (0.045, 0.03, depth * 0.9), color)
        solids.tube(
            [(side, height, depth * 0.36), (side, height + rise, depth * 0.36)],
            (0.016, 0.016),
            color,
            8,
        )


def _shelves(
    solids: Solids, sizes: tuple[float, float, float, float], count: int, color: Color
) -> None:
    """Add sides, a back and shelves."""
    width, height, depth, foot = sizes
    for x in (-1, 1):
        solids.box((x * (width / 2 - 0.015), foot + height / 2, 0), (0.03, height, depth), color)
    solids.box((0, foot + height / 2, -depth / 2 + 0.01), (width, height, 0.02), color)
    for level in range(count + 1):
        y = foot + 0.015 + level / count * (height - 0.03)
        solids.box((0, y, 0), (width, 0.03, depth), color)
