import numpy as np
import pytest

from ss3d.points.sampling import sample_surface

VERTICES = np.array([(0, 0, 0), (3, 0, 0), (0, 2, 0), (0, 0, 1), (1, 0, 1), (0, 2, 1)], float)
FACES = np.array([(0, 1, 2), (3, 4, 5)])  # areas 3 and 1, at z = 0 and z = 1


def sample(count=4000, seed=0):
    return sample_surface(VERTICES, FACES, count, np.random.default_rng(seed))


def test_points_lie_on_their_triangles():
    points = sample()
    x, y, z = points.T
    assert set(np.unique(z)) == {0.0, 1.0}
    assert (points >= 0).all()
    assert (x / np.where(z == 0, 3, 1) + y / 2 <= 1 + 1e-6).all()
    assert points.dtype == np.float32


def test_density_is_that_of_the_area():
    """Of 4000 points 3/4 fall on the larger face: 3000 with a deviation of 27."""
    assert (sample()[:, 2] == 0).sum() == pytest.approx(3000, abs=110)


def test_centroid_of_a_face_is_the_mean_of_its_points():
    points = sample()
    low = points[points[:, 2] == 0]
    assert low.mean(axis=0) == pytest.approx([1, 2 / 3, 0], abs=0.05)


def test_same_generator_same_points():
    assert np.array_equal(sample(100), sample(100))
    assert not np.array_equal(sample(100), sample(100, seed=1))


def test_faces_without_area_get_no_points():
    faces = np.array([(0, 0, 1), (0, 1, 2), (5, 5, 5)])
    points = sample_surface(VERTICES, faces, 500, np.random.default_rng(0))
    assert np.isfinite(points).all()
    assert (points[:, 2] == 0).all()
    assert len(np.unique(points[:, 1])) > 400
