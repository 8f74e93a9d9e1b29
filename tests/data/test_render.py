import math

import numpy as np
import pytest

from ss3d.data.render import draw_cameras, rasterise, render, view_axes
from ss3d.data.solids import Mesh, Solids


def box(size=(1, 1, 1), color=(1.0, 0.0, 0.0), center=(0, 0, 0)):
    solids = Solids()
    solids.box(center, size, color)
    return solids.mesh()


def camera(azimuth=0.0, elevation=0.0, ratio=1.0):
    return np.array((azimuth, elevation, 0, ratio, 49.134342), np.float32)


def volume(mesh):
    corners = mesh.vertices[mesh.faces]
    return np.einsum("fi,fi->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6


def test_solids_are_closed_and_face_outwards():
    solids = Solids()
    solids.tube([(0, 0, 0), (0, 0, 2)], (1, 1), (1, 1, 1), sides=200)
    assert volume(solids.mesh()) == pytest.approx(2 * math.pi, rel=1e-3)
    assert volume(box((1, 2, 3))) == pytest.approx(6)
    solids = Solids()
    solids.lathe([(1, 3), (1, 0)], (5, 5), (1, 1, 1))  # from the top down
    assert volume(solids.mesh()) == pytest.approx(3 * math.pi, rel=0.02)


def test_canonical_has_diagonal_one_about_the_origin():
    mesh = box((1, 2, 2), center=(4, 5, 6)).canonical()
    assert mesh.vertices.max(axis=0) == pytest.approx([1 / 6, 1 / 3, 1 / 3])
    assert mesh.vertices.min(axis=0) == pytest.approx([-1 / 6, -1 / 3, -1 / 3])


def test_camera_at_azimuth_zero_looks_from_positive_x():
    right, up, towards = view_axes(0, 0)
    assert towards == pytest.approx([1, 0, 0])
    assert up == pytest.approx([0, 1, 0])
    assert right == pytest.approx([0, 0, -1])
    assert view_axes(270, 0)[2] == pytest.approx([0, 0, 1])  # the front
    assert view_axes(10, 90 - 1e-9)[2] == pytest.approx([0, 1, 0], abs=1e-6)


def test_size_of_a_face_on_the_screen():
    """A face of side 0.5 at distance 1.75 - 0.25, seen with 49.13 degrees: 0.3646 of the side."""
    picture = render(box((0.5, 0.5, 0.5)), camera(), 96)
    hit = picture[..., 3] > 127
    side = 0.5 / 1.5 / (2 * math.tan(math.radians(49.134342) / 2)) * 96
    assert picture[..., 3].sum() / 255 == pytest.approx(side**2, rel=0.03)
    rows, columns = np.nonzero(hit)
    assert rows.mean() == pytest.approx(47.5, abs=0.5)
    assert columns.mean() == pytest.approx(47.5, abs=0.5)


def test_nearer_solid_hides_the_other():
    solids = Solids()
    solids.box((0.3, 0, 0), (0.1, 0.2, 0.2), (0, 1, 0))
    solids.box((-0.3, 0, 0), (0.1, 0.4, 0.4), (1, 0, 0))
    for azimuth, middle in ((0, 1), (180, 0)):
        pixel = render(solids.mesh(), camera(azimuth), 65)[32, 32]
        assert pixel[:3].argmax() == middle
        assert pixel[3] == 255


def test_upwards_is_up_and_front_is_lit_by_its_color():
    solids = Solids()
    solids.box((0, 0.3, 0), (0.2, 0.2, 0.2), (1, 0, 0))
    solids.box((0, -0.3, 0), (0.2, 0.2, 0.2), (0, 0, 1))
    picture = render(solids.mesh(), camera(30, 10), 64)
    top, bottom = picture[:28].reshape(-1, 4), picture[36:].reshape(-1, 4)
    assert (top[top[:, 3] > 0][:, 0] > 0).all()
    assert (bottom[bottom[:, 3] > 0][:, 2] > 0).all()
    assert (top[:, 2] == 0).all()


def test_edges_are_antialiased_and_outside_is_transparent():
    picture = render(box((0.4, 0.4, 0.4)), camera(20, 27), 64)
    alpha = picture[..., 3]
    assert alpha[0].max() == 0
    assert alpha.max() == 255
    assert ((alpha > 0) & (alpha < 255)).sum() > 20


def test_two_triangles_of_a_square_leave_no_gap():
    square = np.array([(3.2, 2.1, 1), (17.7, 2.1, 1), (17.7, 15.4, 1), (3.2, 15.4, 1)])
    nearest = rasterise(square[[(0, 1, 2), (0, 2, 3)]], 20)
    assert (nearest[2:15, 3:18] >= 0).all()
    assert (nearest >= 0).sum() == 13 * 15
    assert set(np.unique(nearest)) == {-1, 0, 1}


def test_what_leaves_the_picture_is_cut():
    mesh = Mesh(box().vertices * 1.2, box().faces, box().colors)
    assert (render(mesh, camera(0, 0, 0.65), 32)[..., 3] == 255).all()


def test_cameras_are_those_of_r2n2():
    cameras = draw_cameras(2000, np.random.default_rng(0))
    low, high = cameras.min(axis=0), cameras.max(axis=0)
    assert low[:2] == pytest.approx([0, 25], abs=0.5)
    assert high[:2] == pytest.approx([360, 30], abs=0.5)
    assert (cameras[:, 2] == 0).all()
    assert (low[3], high[3]) == pytest.approx((0.65, 1.0), abs=0.01)
