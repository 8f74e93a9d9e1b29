"""Parametric airplanes, cars and vessels; their front is +z."""

from __future__ import annotations

import math

import numpy as np

from ss3d.data.palette import GLASS, METAL, PAINTS, RUBBER, WHITE, WOOD, pick
from ss3d.data.solids import Array, Color, Mesh, Solids


def airplane(rng: np.random.Generator) -> Mesh:
    """Build an airliner, a fighter or a light propeller aircraft."""
    solids = Solids()
    body, accent = pick(rng, PAINTS), pick(rng, PAINTS)
    kind = rng.integers(3)
    slim = (0.055, 0.06, 0.075)[kind] * rng.uniform(0.85, 1.2)
    half_span = (rng.uniform(0.42, 0.55), rng.uniform(0.26, 0.36), rng.uniform(0.5, 0.65))[kind]
    sweep = (rng.uniform(0.2, 0.3), rng.uniform(0.25, 0.4), rng.uniform(0, 0.04))[kind]
    root = (0.17, 0.34, 0.14)[kind] * rng.uniform(0.85, 1.15)
    _fuselage(solids, slim, body)
    height = slim * (rng.choice((-0.5, 0.9)) if kind == 2 else -0.35)
    wing = (root, root * (0.3 if kind < 2 else 0.85), half_span, sweep)
    for side in (-1, 1):
        _wing(solids, (0, height, 0.5 * root), side, wing, accent)
        tail = (root * 0.55, root * 0.3, half_span * 0.36, sweep * 0.4)
        _wing(solids, (0, slim * 0.3, -0.36), side, tail, accent)
    rise = rng.uniform(0.13, 0.2)
    _fin(solids, (slim * 0.4, rise), root * 0.7, accent)
    if kind == 0:
        for side in (-1, 1):
            for share in (0.35, 0.62)[: int(rng.integers(1, 3))]:
                x, z = side * share * half_span, 0.5 * root - share * sweep
                ends = [(x, height - 0.035, z - 0.1), (x, height - 0.035, z + 0.04)]
                solids.tube(ends, (0.022, 0.03), METAL)
    elif kind == 2:
        solids.box((0, 0, 0.505), (0.24, 0.022, 0.008), RUBBER)
        solids.box((0, slim * 0.85, 0.1), (slim * 1.2, slim * 0.7, 0.16), GLASS)
        for x in (-1, 1):
            solids.tube([(x * 0.08, -0.14, 0.1), (x * 0.03, 0, 0.1)], (0.01, 0.01), METAL, 6)
            solids.tube([(x * 0.07, -0.14, 0.1), (x * 0.1, -0.14, 0.1)], (0.035, 0.035), RUBBER)
    else:
        solids.pillow((0, slim * 0.8, 0.22), (slim, slim * 0.8, 0.2), GLASS, 0.03)
    return solids.mesh().canonical()


def car(rng: np.random.Generator) -> Mesh:
    """Build a saloon, a van, a pick-up or a sports car."""
    solids = Solids()
    paint = pick(rng, PAINTS)
    kind = rng.integers(4)
    length, width = rng.uniform(0.95, 1.1), rng.uniform(0.4, 0.46)
    belt = (0.21, 0.25, 0.24, 0.18)[kind] * rng.uniform(0.92, 1.08)
    roof = belt + (0.13, 0.2, 0.15, 0.1)[kind] * rng.uniform(0.9, 1.1)
    wheel = rng.uniform(0.075, 0.095)
    back, front = -length / 2, length / 2
    hood = belt * rng.uniform(0.85, 0.95)
    lower = [(back, 0.07), (front, 0.07), (front, hood * 0.75), (front - 0.08, hood)]
    lower += [(front - 0.3, belt), (back + 0.08, belt), (back, belt * 0.8)]
    _profile(solids, lower, width, paint)
    rear = (back + 0.14, back + 0.02, -0.05, back + 0.22)[kind]
    cowl = front - (0.3, 0.16, 0.3, 0.36)[kind]
    slope_front, slope_rear = (0.16, 0.1, 0.13, 0.18)[kind], (0.12, 0.02, 0.03, 0.2)[kind]
    glass = [(rear, belt), (cowl, belt), (cowl - slope_front, roof), (rear + slope_rear, roof)]
    _profile(solids, glass, width * 0.9, GLASS)
    top = [(rear + slope_rear, roof), (cowl - slope_front, roof)]
    top += [(cowl - slope_front - 0.01, roof + 0.014), (rear + slope_rear + 0.01, roof + 0.014)]
    _profile(solids, top, width * 0.88, paint)
    for z in (0.3 * length, -0.3 * length):
        for x in (-1, 1):
            ends = [(x * (width / 2 - 0.06), wheel, z), (x * (width / 2 + 0.005), wheel, z)]
            solids.tube(ends, (wheel, wheel), RUBBER, 16)
            hub = (x * (width / 2 + 0.01), wheel, z)
            solids.tube([ends[1], hub], (wheel * 0.55, wheel * 0.5), METAL, 10)
    for x in (-1, 1):
        solids.box((x * width * 0.34, hood * 0.7, front), (0.07, 0.04, 0.012), (0.95, 0.95, 0.8))
        solids.box((x * width * 0.36, belt * 0.72, back), (0.06, 0.04, 0.012), (0.6, 0.05, 0.05))
    return solids.mesh().canonical()


def vessel(rng: np.random.Generator) -> Mesh:
    """Build a cargo ship, a motor boat or a sailing boat."""
    solids = Solids()
    hull = pick(rng, PAINTS)
    kind = rng.integers(3)
    beam = (0.075, 0.14, 0.12)[kind] * rng.uniform(0.85, 1.15)
    deep = (0.09, 0.12, 0.11)[kind] * rng.uniform(0.85, 1.2)
    _hull(solids, beam, deep, hull)
    _deck(solids, beam, deep, WOOD)
    build = (_cargo, _cabin, _rig)[kind]
    build(solids, rng, beam, deep)
    return solids.mesh().canonical()


def _cargo(solids: Solids, rng: np.random.Generator, beam: float, deep: float) -> None:
    """Add a bridge with a funnel at the stern, and containers."""
    z, tall = rng.uniform(-0.36, -0.28), rng.uniform(0.1, 0.17)
    solids.box((0, deep + tall / 2, z), (beam * 1.5, tall, 0.12), WHITE)
    solids.box((0, deep + tall, z + 0.02), (beam * 1.9, 0.025, 0.07), GLASS)
    ends = [(0, deep + tall, z - 0.04), (0, deep + tall + 0.07, z - 0.05)]
    solids.tube(ends, (0.022, 0.02), pick(rng, PAINTS))
    for number in range(int(rng.integers(2, 6))):
        place = (0, deep + 0.025, 0.3 - 0.11 * number)
        solids.box(place, (beam * 1.3, 0.07, 0.095), pick(rng, PAINTS))


def _cabin(solids: Solids, rng: np.random.Generator, beam: float, deep: float) -> None:
    """Add a long cabin with windows and a mast."""
    tall, long = rng.uniform(0.08, 0.12), rng.uniform(0.25, 0.4)
    solids.pillow((0, deep + tall / 2, -0.06), (beam * 1.3, tall, long), WHITE, 0.03)
    glass = (beam * 1.33, tall * 0.35, long * 0.9)
    solids.box((0, deep + tall * 0.6, -0.05), glass, GLASS)
    solids.tube([(0, deep, -0.1), (0, deep + 0.26, -0.13)], (0.008, 0.005), METAL, 6)


def _rig(solids: Solids, rng: np.random.Generator, beam: float, deep: float) -> None:
    """Add a mast with two sails and a low cabin."""
    height = rng.uniform(0.75, 1.05)
    solids.tube([(0, 0, 0.06), (0, deep + height, 0.06)], (0.012, 0.008), WOOD, 8)
    sail = pick(rng, ((0.93, 0.92, 0.88), (0.8, 0.3, 0.2)))
    boom, head = deep + 0.1, deep + height * 0.95
    _sail(solids, [(boom, 0.045), (boom, -0.38), (head, 0.045)], sail)
    _sail(solids, [(boom, 0.44), (boom - 0.02, 0.09), (head * 0.85, 0.08)], sail)
    solids.pillow((0, deep + 0.02, -0.1), (beam, 0.07, 0.26), WHITE, 0.02)


def _fuselage(solids: Solids, radius: float, color: Color) -> None:
    """Add a body from the tail at z = -0.5 to the nose at 0.5."""
    shape = ((-0.5, 0.15, 0.5), (-0.34, 0.55, 0.3), (-0.12, 1, 0), (0.3, 1, 0), (0.42, 0.75, -0.05))
    stations = [*shape, (0.48, 0.4, -0.1), (0.5, 0.1, -0.1)]
    solids.loft(
        [
            _ellipse((size * radius, size * radius), (0, lift * radius, z))
            for z, size, lift in stations
        ],
        color,
    )


def _wing(
    solids: Solids,
    place: tuple[float, float, float],
    side: int,
    shape: tuple[float, float, float, float],
    color: Color,
) -> None:
    """Add one wing; `shape` is root chord, tip chord, span and sweep, `place` the leading edge."""
    root, tip, span, sweep = shape
    rings = []
    for share, chord in ((0.0, root), (1.0, tip)):
        x, y = side * share * span, place[1] + 0.06 * span * share
        z, thick = place[2] - sweep * share, 0.1 * chord
        outline = ((0, 0), (-0.25, 0.5), (-0.7, 0.3), (-1, 0), (-0.7, -0.3), (-0.25, -0.5))
        rings.append([(x, y + v * thick, z + u * chord) for u, v in outline])
    solids.loft(rings, color)


def _fin(solids: Solids, span: tuple[float, float], chord: float, color: Color) -> None:
    """Add a swept fin at the tail from one height to another."""
    low, high = span
    rings = []
    for y, start, length in ((low, -0.32, chord), (high, -0.43, chord * 0.5)):
        end = max(start - length, -0.55)
        rings.append([(-0.008, y, start), (0.008, y, start), (0.008, y, end), (-0.008, y, end)])
    solids.loft(rings, color)


def _profile(
    solids: Solids, outline: list[tuple[float, float]], width: float, color: Color
) -> None:
    """Add a side view (z, y) extended over the width, a little narrower at its faces."""
    points = np.array(outline)
    middle = points.mean(axis=0)
    rings = []
    for x, share in ((-0.5, 0.96), (-0.44, 1.0), (0.44, 1.0), (0.5, 0.96)):
        shrunk = middle + share * (points - middle)
        rings.append(np.column_stack((np.full(len(points), x * width), shrunk[:, 1], shrunk[:, 0])))
    solids.loft(rings, color)


def _hull_width(z: float) -> float:
    """Return the half width of a hull in beams, from the stern at -0.5 to the bow at 0.5."""
    if z < -0.3:
        return 0.85
    taper = abs(z + 0.1) / 0.6
    return math.sqrt(max(0.0004, 1 - taper**3))


def _hull(solids: Solids, beam: float, deep: float, color: Color) -> None:
    """Add a hull that rises towards the bow."""
    rings = []
    for z in np.linspace(-0.5, 0.5, 15):
        half, lift = beam * _hull_width(z), 0.25 * deep * max(0, z) ** 2 * 4
        section = ((-1, 1), (-0.85, 0.45), (-0.35, 0), (0.35, 0), (0.85, 0.45), (1, 1))
        keel = deep * max(0, z - 0.3) * 2
        rings.append([(u * half, keel * (1 - v) + v * deep + v * lift, z) for u, v in section])
    solids.loft(rings, color)


def _deck(solids: Solids, beam: float, deep: float, color: Color) -> None:
    """Add a thin deck on the hull."""
    rings = []
    for z in np.linspace(-0.48, 0.46, 13):
        half, lift = 0.9 * beam * _hull_width(z), deep * max(0, z) ** 2
        rings.append(
            [
                (x, deep + lift + y, z)
                for x, y in ((-half, 0), (half, 0), (half, 0.006), (-half, 0.006))
            ]
        )
    solids.loft(rings, color)


def _sail(solids: Solids, corners: list[tuple[float, float]], color: Color) -> None:
    """Add a thin triangle in the plane x = 0 from its (y, z) corners."""
    solids.loft([[(x, y, z) for y, z in corners] for x in (-0.006, 0.006)], color)


def _ellipse(radii: tuple[float, float], center: tuple[float, float, float]) -> Array:
    """Return 16 points of an ellipse across z."""
    angle = np.arange(16) * (math.pi / 8)
    offset = np.column_stack((radii[0] * np.cos(angle), radii[1] * np.sin(angle), 0 * angle))
    return np.asarray(center, np.float64) + offset
