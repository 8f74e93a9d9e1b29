import numpy as np
import pytest
from mesh_files import cube, glb, image_bytes, obj, off, ply, stl, write

from ss3d.data import images
from ss3d.data.files import Files
from ss3d.data.mesh_file import GRAY, read_surface
from ss3d.errors import DataError

VERTICES, FACES = cube()
ENDLESS = np.where(VERTICES == 1, np.inf, VERTICES)
RED = "newmtl red\nKd 1 0 0\n"


def read(folder, name="m.obj"):
    return read_surface(Files(folder), name)


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        ("obj", obj(VERTICES, FACES)),
        ("ply", ply(VERTICES, FACES)),
        ("off", off(VERTICES, FACES)),
        ("stl", stl(VERTICES, FACES)),
        ("GLB", glb(VERTICES, FACES, (0, 1, 0))),
    ],
)
def test_every_format_gives_the_same_triangles(tmp_path, suffix, content):
    write(tmp_path / f"m.{suffix}", content)
    corners = read(tmp_path, f"m.{suffix}").corners
    assert corners.shape == (12, 3, 3)
    order = np.lexsort(corners.mean(axis=1).T)
    wanted = VERTICES[FACES]
    assert corners.mean(axis=1)[order] == pytest.approx(
        wanted.mean(axis=1)[np.lexsort(wanted.mean(axis=1).T)]
    )


def test_colors_of_materials_vertices_and_nothing(tmp_path):
    write(tmp_path / "m.mtl", RED)
    write(tmp_path / "m.obj", obj(VERTICES, FACES, "mtllib m.mtl\nusemtl red"))
    assert (read(tmp_path).colors == (1, 0, 0)).all()
    write(tmp_path / "plain.obj", obj(VERTICES, FACES))
    assert (read(tmp_path, "plain.obj").colors == np.float32(GRAY)).all()
    write(tmp_path / "v.ply", ply(VERTICES, FACES, VERTICES * 255))
    surface = read(tmp_path, "v.ply")
    assert surface.colors == pytest.approx(surface.corners)
    write(tmp_path / "g.glb", glb(VERTICES, FACES, (0, 1, 0)))
    assert (read(tmp_path, "g.glb").colors == (0, 1, 0)).all()


def test_texture_replaces_a_black_material(tmp_path):
    write(tmp_path / "t.png", image_bytes(np.full((4, 4, 3), (0, 0, 255))))
    write(tmp_path / "m.mtl", "newmtl a\nKd 0 0 0\nmap_Kd t.png\n")
    head = "mtllib m.mtl\nusemtl a"
    write(tmp_path / "m.obj", obj(VERTICES, FACES, head, uv=VERTICES[:, :2]))
    surface = read(tmp_path)
    assert (surface.texture == 0).all()
    assert surface.places == pytest.approx(surface.corners[..., :2])
    assert surface.textures[0].reshape(-1, 3).mean(axis=0).tolist() == [0, 0, 1]
    assert (surface.colors == 1).all()
    write(tmp_path / "m.obj", obj(VERTICES, FACES, head))
    surface = read(tmp_path)  # where in the texture is not known: its mean
    assert surface.textures == ()
    assert (surface.colors == (0, 0, 1)).all()


def test_places_without_a_material_leave_a_gray_mesh(tmp_path):
    write(tmp_path / "m.obj", obj(VERTICES, FACES, uv=VERTICES[:, :2]))
    surface = read(tmp_path)
    shown = surface.colors[0, 0] * (surface.textures[0][0, 0] if surface.textures else 1)
    assert np.ptp(shown) < 1e-6
    assert 0.2 < shown[0] < 0.9


def test_missing_material_file_leaves_a_gray_mesh_and_is_named(tmp_path, caplog):
    write(tmp_path / "m.obj", obj(VERTICES, FACES, "mtllib none.mtl\nusemtl red"))
    assert (read(tmp_path).colors == np.float32(GRAY)).all()
    assert "m.obj: shown without none.mtl (there is no such file), which it refers" in caplog.text


def test_bad_texture_is_left_out_and_named(tmp_path, caplog):
    write(tmp_path / "m.mtl", "newmtl a\nKd 1 0 0\nmap_Kd wood.png\n")
    head = "mtllib m.mtl\nusemtl a"
    write(tmp_path / "m.obj", obj(VERTICES, FACES, head, uv=VERTICES[:, :2]))
    assert (read(tmp_path).colors == (1, 0, 0)).all()
    assert "shown without wood.png (there is no such file)" in caplog.text
    write(tmp_path / "wood.png", b"no picture")
    assert (read(tmp_path).colors == (1, 0, 0)).all()
    assert "shown without wood.png (not a readable image)" in caplog.text
    caplog.clear()
    write(tmp_path / "wood.png", image_bytes(np.zeros((4, 4, 3))))
    read(tmp_path)
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.obj", obj(VERTICES, []), "the mesh has no faces"),
        ("m.obj", "", "no faces|not a readable mesh"),
        ("m.obj", obj(VERTICES * (1, 1, np.nan), FACES), "not finite"),
        ("m.obj", obj(ENDLESS, FACES), "not finite"),
        ("m.obj", obj(VERTICES * (1, 0, 0), FACES), "have no area"),
        ("m.obj", obj(VERTICES * 0, FACES), "have no area"),
        ("m.obj", obj(VERTICES, [(0, 1, 99)]), "not a readable mesh"),
        ("m.off", off(VERTICES, FACES)[:60], "not a readable mesh"),
        ("m.stl", stl(VERTICES, FACES)[:-20], "the mesh has no faces"),
        ("m.glb", glb(VERTICES, FACES, (1, 1, 1))[:200], "not a readable mesh"),
        ("m.ply", b"\xff\x00", "not a readable mesh"),
        ("m.ply", ply(VERTICES, ()), "the mesh has no faces"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, name, content, message):
    write(tmp_path / name, content)
    with pytest.raises(DataError, match=message) as error:
        read(tmp_path, name)
    assert str(tmp_path / name) in str(error.value)


def test_large_texture_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 15)
    write(tmp_path / "t.png", image_bytes(np.zeros((4, 4, 3))))
    write(tmp_path / "m.mtl", "newmtl a\nmap_Kd t.png\n")
    head = "mtllib m.mtl\nusemtl a"
    write(tmp_path / "m.obj", obj(VERTICES, FACES, head, uv=VERTICES[:, :2]))
    with pytest.raises(DataError, match=r"m\.obj: texture: too large an image: 4x4 pixels"):
        read(tmp_path)
