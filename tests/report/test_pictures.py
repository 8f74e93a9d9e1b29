from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from report_records import make_reports

from ss3d.report.curves import draw_curves
from ss3d.report.pictures import Example, draw_reconstructions, project


def test_the_camera_orbits_around_the_vertical_axis() -> None:
    front = np.array([[0.0, 0.0, 1.0]], dtype=np.float32)
    np.testing.assert_allclose(project(front, 0, 0)[0], [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(project(front, 90, 0)[0], [-1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(project(front, 180, 0)[0], [0, 0, -1], atol=1e-6)
    top = np.array([[0.0, 1.0, 0.0]], dtype=np.float32)
    for azimuth in (0, 77, 200):
        np.testing.assert_allclose(project(top, azimuth, 0)[0], [0, 1, 0], atol=1e-6)


def test_from_above_the_near_side_is_lower_in_the_picture() -> None:
    near, far = project(np.array([[0, 0, 0.5], [0, 0, -0.5]], dtype=np.float32), 0, 20)
    assert near[2] > far[2]
    assert near[1] < far[1]


def colored(path: Path, strongest: int) -> np.ndarray:
    """Pixels whose given channel clearly exceeds the other two."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    others = np.delete(pixels, strongest, axis=2)
    return (pixels[..., strongest, None] > others + 60).all(axis=2)


@pytest.mark.parametrize("with_truth", [True, False])
def test_a_picture_shows_input_prediction_and_truth(with_truth: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    cloud = rng.normal(size=(200, 3)).astype(np.float32) / 4
    example = Example(
        name="green",
        image=np.broadcast_to(np.array([0, 1, 0], dtype=np.float32), (32, 32, 3)),
        predicted=cloud,
        target=cloud if with_truth else None,
        caption="cd_l1 1.00",
    )
    path = tmp_path / "picture.png"
    draw_reconstructions(path, [example, example], title="demo/t00001")
    red, green, blue = (colored(path, channel) for channel in range(3))
    width = green.shape[1]
    assert green[:, : width // 3].any()
    assert not green[:, width // 3 :].any()
    quarters = np.array_split(red[:, width // 3 :], 4, axis=1)
    assert all(quarter.any() for quarter in quarters)
    assert blue.any() == with_truth


def test_curves_are_drawn_and_gaps_allowed(tmp_path: Path) -> None:
    path = tmp_path / "figures" / "curve.png"
    draw_curves(path, {"t00000": make_reports([3, 2, 1]), "t00001": ()}, title="demo")
    assert colored(path, 2).any()
