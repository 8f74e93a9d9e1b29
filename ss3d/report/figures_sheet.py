"""A figure as a grid of panels: what it shows, before anybody draws it.

All panels of a sheet share one camera and one scale; only a close-up has a frame of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ss3d.errors import ConfigError
from ss3d.report.clouds import Array
from ss3d.report.figures_balls import Frame, frame_around
from ss3d.report.figures_choice import Choice, Model
from ss3d.report.pictures import Example

AZIMUTH = 30.0
VIEWPOINTS = (0.0, 60.0, 120.0, 180.0, 240.0, 300.0)
"""Azimuths of the figure of viewpoints, in degrees from its first one."""
MODEL_COLOR = (0.85, 0.42, 0.16)
MODEL_COLORS = (
    MODEL_COLOR, (0.13, 0.55, 0.50), (0.52, 0.36, 0.70), (0.80, 0.27, 0.40), (0.60, 0.53, 0.13),
)  # fmt: skip
TRUTH_COLOR = (0.27, 0.44, 0.74)
CLOSE_UP = 3.0
"""How much a close-up magnifies."""
_FAULT_POINTS = 24
"""Points whose mean distance decides where the close-up looks."""


@dataclass(frozen=True)
class Panel:
    """One cell: an image, a cloud, or nothing."""

    image: Array | None = None
    """(S, S, 3) in [0, 1]."""
    cloud: Array | None = None
    """(N, 3) object units."""
    color: tuple[float, float, float] = MODEL_COLOR
    distances: Array | None = None
    """(N,) object units; colors the points instead of `color`."""
    caption: str = ""
    frame: Frame | None = None
    """Camera and field; None takes the sheet's."""
    mark: Frame | None = None
    """Field that a close-up shows, outlined."""


@dataclass(frozen=True)
class Sheet:
    """A figure."""

    title: str
    columns: list[str]
    rows: list[str]
    panels: list[list[Panel]]
    frame: Frame
    note: str
    """The rule by which the objects were chosen."""
    reach: float | None = None
    """Distance at the end of the color scale in the unit of `cd_l1`; None without one."""


def comparison(models: Sequence[Model], choice: Choice, azimuth: float, title: str) -> Sheet:
    """Return rows of objects: input | every model | ground truth (Figures 3, 4, 6 to 9)."""
    target = _targets(models)
    panels = [
        [_input(models, name), *_predictions(models, name), _truth(target[name])]
        for name in choice.ids
    ]
    return Sheet(
        title=title,
        columns=["input", *(model.label for model in models), "ground truth"],
        rows=_names(models, choice),
        panels=panels,
        frame=_frame(panels, [azimuth]),
        note=choice.rule,
    )


def viewpoints(models: Sequence[Model], choice: Choice, azimuth: float, title: str) -> Sheet:
    """Return rows of objects: input | one prediction from six azimuths (Figure 5)."""
    azimuths = [(azimuth + turn) % 360 for turn in VIEWPOINTS]
    panels = [
        [
            _input(models, name),
            *(replace(prediction, caption="", frame=_empty(a)) for a in azimuths),
        ]
        for name in choice.ids
        for prediction in _predictions(models, name)
    ]
    frame = _frame(panels, azimuths)
    panels = [
        [replace(p, frame=replace(frame, azimuth=p.frame.azimuth)) if p.frame else p for p in row]
        for row in panels
    ]
    labels = [f"\n{model.label}" if len(models) > 1 else "" for model in models]
    return Sheet(
        title=title,
        columns=["input", *(f"{a:.0f}°" for a in azimuths)],
        rows=[name + label for name in _names(models, choice) for label in labels],
        panels=panels,
        frame=frame,
        note=choice.rule,
    )


def limitations(models: Sequence[Model], choice: Choice, azimuth: float, title: str) -> Sheet:
    """Return rows of objects colored by distance, with a close-up of the worst place (Figure 10).

    The prediction is colored by its distance to the ground truth, the ground truth by its distance
    to the prediction. The close-up looks where the ground truth is missed most: at the point whose
    24 nearest have the greatest mean distance.

    Raises:
        ConfigError: more than one model is given.
    """
    if len(models) != 1:
        raise ConfigError(f"figure limitations: got {len(models)} models, expected one")
    pairs = [_distances(models[0], name) for name in choice.ids]
    frame = frame_around([cloud for pair in pairs for cloud in pair[:2]], [azimuth])
    panels = []
    for name, (predicted, target, forward, backward) in zip(choice.ids, pairs, strict=True):
        close = _close_up(target, backward, frame)
        ours = Panel(cloud=predicted, distances=forward, mark=close)
        theirs = Panel(cloud=target, distances=backward, mark=close)
        panels.append(
            [
                _input(models, name),
                replace(ours, caption=_caption(models[0], name)),
                theirs,
                *(replace(panel, mark=None, frame=close) for panel in (ours, theirs)),
            ]
        )
    every = np.concatenate([np.concatenate(pair[2:]) for pair in pairs])
    return Sheet(
        title=title,
        columns=[
            "input", models[0].label, "ground truth", "prediction, close", "ground truth, close",
        ],
        rows=_names(models, choice),
        panels=panels,
        frame=frame,
        note=choice.rule,
        reach=float(np.ceil(100 * np.quantile(every, 0.98))),
    )  # fmt: skip


def reconstructions(examples: Sequence[Example], title: str) -> Sheet:
    """Return rows of images that were given: input | prediction, with no ground truth."""
    panels = [[Panel(image=one.image), Panel(cloud=one.predicted)] for one in examples]
    return Sheet(
        title=title,
        columns=["input", "prediction"],
        rows=[one.name for one in examples],
        panels=panels,
        frame=_frame(panels, [AZIMUTH]),
        note="as given, in their order",
    )


def nearest_to(points: Array, others: Array) -> Array:
    """Return (N,) the distance of every point (N, 3) to the nearest of others (M, 3)."""
    from scipy.spatial import KDTree

    return KDTree(others).query(points)[0].astype(np.float32)


def _targets(models: Sequence[Model]) -> dict[str, Array]:
    """Return the ground truth by id.

    Raises:
        ConfigError: the models were measured against other targets: not the same data set.
    """
    first = models[0].previews
    targets = dict(zip(first.ids, first.target, strict=True))
    for model in models[1:]:
        for name, cloud in zip(model.previews.ids, model.previews.target, strict=True):
            size = min(len(cloud), len(targets.get(name, cloud)))
            if name in targets and not np.array_equal(targets[name][:size], cloud[:size]):
                raise ConfigError(
                    f"figure: {name} has another ground truth in {model.source} than in "
                    f"{models[0].source}; compare models of one data set"
                )
    return targets


def _input(models: Sequence[Model], name: str) -> Panel:
    for model in models:
        if name in model.previews.images:
            return Panel(image=model.previews.images[name])
    return Panel(caption="input not kept")


def _predictions(models: Sequence[Model], name: str) -> list[Panel]:
    return [
        Panel(
            cloud=model.previews.predicted[model.previews.ids.index(name)],
            color=MODEL_COLORS[number % len(MODEL_COLORS)],
            caption=_caption(model, name),
        )
        for number, model in enumerate(models)
    ]


def _caption(model: Model, name: str) -> str:
    return f"{model.previews.distances[name]:.2f}"


def _truth(cloud: Array) -> Panel:
    return Panel(cloud=cloud, color=TRUTH_COLOR)


def _names(models: Sequence[Model], choice: Choice) -> list[str]:
    """Return category and model id of each object, on two lines."""
    names = {key: name for model in models for key, name in model.previews.names.items()}
    parts = [name.partition("/") for name in choice.ids]
    return [f"{names.get(c, c)}\n{rest}" if rest else c for c, _, rest in parts]


def _frame(panels: list[list[Panel]], azimuths: list[float]) -> Frame:
    clouds = [panel.cloud for row in panels for panel in row if panel.cloud is not None]
    return frame_around(clouds, azimuths)


def _empty(azimuth: float) -> Frame:
    return Frame(azimuth, half_width=0.0, half_height=0.0)


def _distances(model: Model, name: str) -> tuple[Array, Array, Array, Array]:
    """Return prediction, target, and the distances of each to the other."""
    row = model.previews.ids.index(name)
    predicted, target = model.previews.predicted[row], model.previews.target[row]
    return predicted, target, nearest_to(predicted, target), nearest_to(target, predicted)


def _close_up(target: Array, distances: Array, frame: Frame) -> Frame:
    """Return the field around the place of the target that is missed most."""
    from scipy.spatial import KDTree

    count = min(_FAULT_POINTS, len(target))
    around: NDArray[np.int64] = KDTree(target).query(target, k=count)[1].reshape(len(target), -1)
    worst = distances[around].mean(axis=1).argmax()
    x, y, z = target[around[worst]].mean(axis=0).tolist()
    return replace(
        frame,
        half_width=frame.half_width / CLOSE_UP,
        half_height=frame.half_height / CLOSE_UP,
        focus=(x, y, z),
    )
