"""A candidate against the champion as a picture: every model, every category, a few objects."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ss3d.report.challenge import Challenge
from ss3d.report.clouds import Array
from ss3d.report.pictures import AZIMUTHS, PREDICTED, TRUTH, draw_cloud, reach_of
from ss3d.report.previews import Previews

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

FORMATS = (".png", ".pdf", ".svg")
CHAMPION, CANDIDATE = "#6b21a8", PREDICTED
_INK, _PALE = "#27272a", "#a1a1aa"
_DPI = 125
_WIDTH_IN, _TOP_IN, _ROW_IN, _CATEGORY_IN = 9.0, 3.6, 1.7, 0.22


def draw_challenge(
    path: Path,
    challenge: Challenge,
    candidate: Previews,
    champion: Previews | None,
    title: str,
) -> None:
    """Write the picture.

    Args:
        path: ends in `.png`, `.pdf` or `.svg`; its folder is made.
        challenge: with a gain.
        candidate: its clouds.
        champion: its clouds; None where they are not known.
        title: a line above.
    """
    from matplotlib.figure import Figure

    objects = choose_objects(challenge, candidate)
    top = _TOP_IN + _CATEGORY_IN * max(0, len(challenge.categories) - 6)
    height = top + _ROW_IN * len(objects)
    figure = Figure(figsize=(_WIDTH_IN, height), facecolor="white", layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=[top, max(0.01, height - top)])
    scatter, forest = parts[0].subplots(1, 2, width_ratios=[1, 1.25])
    _draw_scatter(scatter, challenge)
    _draw_forest(forest, challenge)
    if objects:
        _draw_objects(parts[1], challenge, objects, (candidate, champion))
    figure.suptitle(title, fontsize=11, color=_INK)
    _save(figure, path)


def choose_objects(challenge: Challenge, candidate: Previews) -> dict[str, str]:
    """Return three models whose image is kept, each with what it stands for."""
    gains = {
        model: challenge.champion.distances[model] - challenge.candidate.distances[model]
        for model in candidate.images
    }
    ordered = sorted(gains, key=lambda model: (-gains[model], model))
    middle = len(ordered) // 2
    places = {"largest gain": 0, "median gain": middle, "smallest gain": len(ordered) - 1}
    return {ordered[place]: word for word, place in places.items() if ordered}


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=_DPI)


def _draw_scatter(axes: Axes, challenge: Challenge) -> None:
    pairs = [
        (value, challenge.candidate.distances[model])
        for model, value in challenge.champion.distances.items()
    ]
    x, y = np.array(pairs).T
    low, high = min(x.min(), y.min()), max(x.max(), y.max())
    axes.plot([low, high], [low, high], color=_PALE, linewidth=1)
    axes.scatter(x, y, s=14, c=np.where(y < x, CANDIDATE, CHAMPION), alpha=0.6, linewidths=0)
    axes.set_xlabel("champion's cd_l1", color=CHAMPION)
    axes.set_ylabel("candidate's cd_l1", color=CANDIDATE)
    won = int((y < x).sum())
    axes.set_title(f"{won} of {len(x)} models better (below the line)", fontsize=9, color=_INK)
    axes.set_aspect("equal")


def _draw_forest(axes: Axes, challenge: Challenge) -> None:
    assert challenge.gain is not None
    rows = [
        ("all", challenge.gain),
        *((one.category, one.gain) for one in challenge.categories),
    ]
    axes.axvline(0, color=_INK, linewidth=1)
    for place, (_, gain) in enumerate(rows):
        if np.isfinite(gain.low):
            axes.plot([gain.low, gain.high], [place, place], color=_INK, linewidth=1.6)
        color = CANDIDATE if gain.mean > 0 else CHAMPION
        face = "white" if gain.verdict == "not distinguishable" else color
        axes.plot(gain.mean, place, "o", markeredgecolor=color, markerfacecolor=face)
    labels = [f"{name} ({gain.num_models})" for name, gain in rows]
    axes.set_yticks(range(len(rows)), labels, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("gain in cd_l1, 95 % interval; hollow: not distinguishable", fontsize=8)
    axes.set_title("candidate over champion (right of zero: better)", fontsize=9, color=_INK)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _draw_objects(
    part: SubFigure,
    challenge: Challenge,
    objects: Mapping[str, str],
    previews: tuple[Previews, Previews | None],
) -> None:
    candidate, champion = previews
    clouds: list[tuple[str, str, Previews | None]] = [
        ("champion", CHAMPION, champion),
        ("candidate", CANDIDATE, candidate),
    ]
    grid = part.subplots(len(objects), 4, squeeze=False)
    for row, (model, word) in enumerate(objects.items()):
        target = candidate.target[candidate.ids.index(model)]
        shown = [target, *(_cloud(p, model) for _, _, p in clouds if p is not None)]
        reach = reach_of(shown)
        axes = grid[row, 0]
        axes.imshow(candidate.images[model], interpolation="lanczos")
        axes.set_axis_off()
        axes.set_title(f"{word}\n{model}", fontsize=7, color=_INK)
        for column, (name, color, of) in enumerate(clouds, start=1):
            measured = challenge.champion if name == "champion" else challenge.candidate
            axes = grid[row, column]
            axes.set_title(f"{name} {measured.distances[model]:.2f}", fontsize=8, color=color)
            if of is None:
                axes.set_axis_off()
                axes.text(0.5, 0.5, "clouds not kept", ha="center", fontsize=8, color=_PALE)
            else:
                draw_cloud(axes, _cloud(of, model), AZIMUTHS[0], color, reach)
        draw_cloud(grid[row, 3], target, AZIMUTHS[0], TRUTH, reach)
        grid[row, 3].set_title("ground truth", fontsize=8, color=TRUTH)


def _cloud(previews: Previews, model: str) -> Array:
    return previews.predicted[previews.ids.index(model)]
