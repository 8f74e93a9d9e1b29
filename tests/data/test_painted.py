import numpy as np
import pytest
from mesh_files import cube

from ss3d.data.painted import render_surface
from ss3d.data.render import render
from ss3d.data.solids import Solids
from ss3d.data.surface import Surface, join

CAMERA = np.array((0, 0, 0, 1, 49.134342), np.float32)  # from +x, looking to -x


def surface(corners, colors=(1.0, 1.0, 1.0), places=None, textures=()):
    corners = np.asarray(corners, float)
    count = len(corners)
    return Surface(
        corners,
        np.broadcast_to(np.asarray(colors, np.float32), (count, 3, 3)),
        np.zeros((count, 3, 2), np.float32) if places is None else places,
        np.full(count, 0 if textures else -1),
        textures,
    )


def square(reach=0.4):
    """Two triangles in the plane x = 0, seen by the camera; right is -z, up is y."""
    at = reach * np.array([(0, -1, 1), (0, -1, -1), (0, 1, -1), (0, 1, 1)])
    return at[[(0, 1, 2), (0, 2, 3)]]


def test_a_closed_solid_looks_as_in_the_other_renderer():
    solids = Solids()
    solids.box((0, 0, 0), (0.5, 0.4, 0.3), (0.9, 0.2, 0.1))
    mesh = solids.mesh()
    camera = np.array((33, 27, 0, 0.8, 49.134342), np.float32)
    corners = mesh.vertices[mesh.faces]
    painted = render_surface(surface(corners, mesh.colors[:, None]), camera, 48).astype(int)
    plain = render(mesh, camera, 48).astype(int)
    assert (painted[..., 3] == plain[..., 3]).all()
    solid = plain[..., 3] == 255
    assert np.abs(painted[solid] - plain[solid]).max() <= 255 * 0.06 + 1  # black reflects 6 %


def test_both_sides_are_shown_and_lit_alike():
    front = render_surface(surface(square()), CAMERA, 32)
    back = render_surface(surface(square()[:, ::-1]), CAMERA, 32)
    assert front[16, 16, 3] == 255
    assert (front == back).all()


def test_texture_lies_as_its_places_say():
    quadrants = np.array([[(1, 0, 0), (0, 1, 0)], [(0, 0, 1), (1, 1, 1)]], np.float32)
    uv = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float32)[[(0, 1, 2), (0, 2, 3)]]
    picture = render_surface(surface(square(), places=uv, textures=(quadrants,)), CAMERA, 64)
    top, bottom = picture[26], picture[38]
    assert [top[26, :3].argmax(), top[38, :3].argmax(), bottom[26, :3].argmax()] == [0, 1, 2]
    assert np.ptp(bottom[38, :3].astype(int)) == 0
    moved = render_surface(surface(square(), places=uv + 3, textures=(quadrants,)), CAMERA, 64)
    assert (moved == picture).all()  # textures repeat


def test_texture_and_colors_are_seen_in_perspective():
    """Halfway along a receding square in space is not halfway on the screen."""
    at = 0.5 * np.array([(-1, -0.2, 1), (1, -0.2, -1), (1, 0.2, -1), (-1, 0.2, 1)])
    uv = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float32)
    faces = [(0, 1, 2), (0, 2, 3)]
    halves = np.array([[(1, 0, 0), (0, 1, 0)]], np.float32)
    colors = np.stack((1 - uv[:, 0], uv[:, 0], 0 * uv[:, 0]), axis=1)
    textured = surface(at[faces], places=uv[faces], textures=(halves,))
    for squares in (textured, surface(at[faces], colors[faces])):
        picture = render_surface(squares, CAMERA, 96)
        row = picture[48].astype(int)
        change = np.flatnonzero((row[:, 3] > 0) & (row[:, 1] > row[:, 0]))[0]
        assert change == pytest.approx(48, abs=1)  # the middle in space is at the center
        assert (row[:, 3] > 0)[:48].sum() < (row[:, 3] > 0)[48:].sum() - 10


def test_colors_of_corners_blend():
    picture = render_surface(surface(square(), np.eye(3)), CAMERA, 64)
    assert len(np.unique(picture[picture[..., 3] == 255], axis=0)) > 100


def test_black_keeps_a_shape():
    corners = cube((0.5, 0.5, 0.5), (-0.25, -0.25, -0.25))
    black = surface(corners[0][corners[1]], (0, 0, 0))
    picture = render_surface(black, np.array((30, 27, 0, 1, 49.13), np.float32), 64)
    inside = picture[picture[..., 3] == 255][:, :3]
    assert 0 < inside.max() < 20
    assert len(np.unique(inside, axis=0)) >= 3  # three faces


def test_slivers_and_empty_triangles_show_nothing():
    flat = np.zeros((1, 3, 3))
    line = np.array([[(0, 0, 0), (0, 0.2, 0), (0, 0.4, 0)]])
    assert render_surface(surface(np.concatenate((flat, line))), CAMERA, 32).max() == 0


def test_z_up_is_turned():
    """What is up (z) becomes y, what is in front (-y) becomes the front (+z)."""
    faces = [[(0, 0, 0), (1, 0, 0), (0, 0, 3)], [(0, 0, 0), (1, -2, 0), (0, 0, 3)]]
    corners = np.array(faces, float)
    turned = surface(corners).canonical("z").corners
    assert np.ptp(turned, axis=(0, 1)) == pytest.approx(np.array((1, 3, 2)) / np.sqrt(14))
    assert turned[0, 2, 1] == turned[..., 1].max()
    assert turned[1, 1, 2] == turned[..., 2].max()
    normals = [np.cross(c[0, 1] - c[0, 0], c[0, 2] - c[0, 0]) for c in (corners, turned)]
    assert np.sign(normals[1] @ (0, 0, 1)) == np.sign(normals[0] @ (0, -1, 0))  # not mirrored


def test_canonical_centers_the_bounding_box():
    vertices, faces = cube((1, 2, 2), (5, 6, 7))
    corners = surface(vertices[faces]).canonical("y").corners
    assert corners.max(axis=(0, 1)) == pytest.approx((1 / 6, 1 / 3, 1 / 3))
    assert corners.min(axis=(0, 1)) == pytest.approx((-1 / 6, -1 / 3, -1 / 3))


def test_samples_lie_on_the_faces_by_area():
    vertices, faces = cube((1, 1, 4))
    points = surface(vertices[faces]).sample(9000, np.random.default_rng(0))
    assert points.min() >= 0
    on_wall = np.isclose(points[:, :2], np.round(points[:, :2]), atol=1e-6).any(axis=1)
    on_end = np.isclose(points[:, 2] % 4, 0, atol=1e-6)
    assert (on_wall | on_end).all()
    assert on_end.mean() == pytest.approx(2 / 18, abs=0.01)


def test_joined_parts_keep_their_textures():
    texture = [np.full((1, 1, 3), shade, np.float32) for shade in (0.2, 0.8)]
    parts = [surface(square(), textures=(pixels,)) for pixels in texture]
    whole = join([parts[0], surface(square()), parts[1]])
    assert whole.texture.tolist() == [0, 0, -1, -1, 1, 1]
    assert whole.textures[whole.texture[-1]] is texture[1]
    assert join([]).corners.shape == (0, 3, 3)
