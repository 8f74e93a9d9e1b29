import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss3d.data.clouds import check_cloud, count_points, read_cloud, stored_points, unit_ball
from ss3d.errors import DataError


def test_unit_ball_of_a_box():
    """A 2x4x4 box about (1, 2, 3): half diagonal 3, so a corner comes to (1, 2, 2) / 3."""
    corners = np.array([(x, y, z) for x in (0, 2) for y in (0, 4) for z in (1, 5)], np.float32)
    ball = unit_ball(corners)
    assert ball[-1] == pytest.approx([1 / 3, 2 / 3, 2 / 3], abs=1e-6)
    assert np.linalg.norm(ball, axis=1) == pytest.approx(np.ones(8), abs=1e-6)


def test_center_is_that_of_the_bounding_box_not_of_the_points():
    crowded = np.concatenate((np.zeros((99, 3)), np.ones((1, 3)))).astype(np.float32)
    ball = unit_ball(crowded)
    assert ball[0] == pytest.approx(-ball[-1])


@given(
    scale=st.floats(1e-3, 1e3),
    shift=st.floats(-100, 100),
)
def test_unit_ball_ignores_scale_and_place(scale, shift):
    cloud = np.random.default_rng(0).normal(size=(50, 3))
    moved = unit_ball(cloud * scale + shift)
    assert np.abs(moved - unit_ball(cloud)).max() < 1e-5
    assert np.linalg.norm(moved, axis=1).max() == pytest.approx(1, abs=1e-6)


def test_stored_points_are_distinct_members_in_an_order_of_the_id():
    cloud = np.arange(300, dtype=np.float32).reshape(100, 3)
    stored = stored_points(cloud, "m1", 40)
    assert len({tuple(p) for p in stored} & {tuple(p) for p in cloud}) == 40
    assert np.array_equal(stored, stored_points(cloud, "m1", 40))
    assert np.array_equal(stored_points(cloud, "m1", 10), stored[:10])
    assert not np.array_equal(stored, stored_points(cloud, "m2", 40))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((100, 3), np.nan), "not finite"),
        (np.ones((100, 3)), "all points are the same"),
        (np.zeros((3, 3)), "got 3 points, expected at least 64"),
        (np.zeros((100, 2)), r"shape \(100, 2\), expected \(n, 3\)"),
        (np.array([["a", "b", "c"]] * 100), "expected numbers"),
    ],
)
def test_unusable_clouds_are_named(tmp_path, array, message):
    path = tmp_path / "m.npy"
    np.save(path, array)
    with pytest.raises(DataError, match=message) as error:
        read_cloud(path.read_bytes(), str(path))
    assert str(path) in str(error.value)


def test_pickled_arrays_are_never_loaded(tmp_path):
    path = tmp_path / "m.npy"
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="not a readable"):
        read_cloud(path.read_bytes(), str(path))


def test_more_columns_are_ignored(tmp_path):
    path = tmp_path / "m.npy"
    array = np.random.default_rng(0).normal(size=(70, 6))
    np.save(path, array)
    assert count_points(path.read_bytes(), path.stat().st_size, str(path)) == 70
    assert np.array_equal(read_cloud(path.read_bytes(), str(path)), array[:, :3].astype(np.float32))


def test_check_cloud_returns_what_it_accepts():
    cloud = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
    assert check_cloud(cloud, "x") is cloud
