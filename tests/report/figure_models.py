"""Models of a figure without training: every object is a plate with an arm that is never found."""

from collections.abc import Mapping, Sequence

import numpy as np

from ss3d.report.figures_choice import Model
from ss3d.report.previews import Previews

_SIDE = np.linspace(-0.4, 0.4, 12, dtype=np.float32)
PLATE = np.stack([*np.meshgrid(_SIDE, _SIDE), np.zeros((12, 12), np.float32)], axis=-1)
PLATE = PLATE.reshape(-1, 3)[:, [0, 2, 1]]
ARM = np.array([[0.0, 0.95, 0.0]], np.float32) + 0.02 * np.random.default_rng(0).normal(
    size=(30, 3)
).astype(np.float32)
CHAIR = np.concatenate([PLATE, ARM]).astype(np.float32)


def make_model(
    distances: Mapping[str, float], label: str = "ours", with_image: Sequence[str] | None = None
) -> Model:
    """A model of these objects, `<category>/<id>`; category `a` is called seat."""
    ids = list(distances)
    image = np.full((8, 8, 3), 0.5, np.float32)
    return Model(
        label=label,
        source=f"runs/{label}",
        previews=Previews(
            ids=ids,
            categories=[name.partition("/")[0] for name in ids],
            names={"a": "seat"},
            predicted=np.stack([PLATE] * len(ids)),
            target=np.stack([CHAIR] * len(ids)),
            images=dict.fromkeys(ids if with_image is None else with_image, image),
            distances=dict(distances),
            value=sum(distances.values()) / len(distances),
            config={},
        ),
    )
