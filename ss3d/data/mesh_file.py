"""Meshes in any format that trimesh reads, with their colors and textures."""

from __future__ import annotations

import io
import logging
import posixpath
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ss3d.data.files import Files
from ss3d.data.images import check_header, is_image
from ss3d.data.solids import Array
from ss3d.data.surface import Surface, join
from ss3d.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image
    from trimesh import Trimesh
    from trimesh.visual import TextureVisuals

TEXTURE_SIDE = 256
"""Textures are reduced to this side; a picture shows hardly more of them."""
GRAY = 0.7
"""Of what has no color."""
MAX_FACES = 20_000_000
"""More are refused: a small file can place one mesh many times."""
_PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tga", ".tif", ".tiff", ".gif", ".webp")
log = logging.getLogger(__name__)


@cache
def mesh_formats() -> frozenset[str]:
    """Return the suffixes of mesh files, without the dot."""
    from trimesh.exchange import load

    return frozenset(load.mesh_formats()) - {"xyz"}


def is_mesh(name: str) -> bool:
    """Tell by its suffix whether a file is a mesh."""
    return posixpath.splitext(name)[1].lower().lstrip(".") in mesh_formats()


def read_surface(files: Files, name: str) -> Surface:
    """Read a mesh with what it refers to (materials, textures, buffers) beside it.

    Raises:
        DataError: the file is damaged or too large, or holds nothing that has an area; names it.
    """
    where = files.describe(name)
    data = files.read(name)
    beside = _Beside(files, name)
    try:
        scene = _load(data, posixpath.splitext(name)[1].lower().lstrip("."), beside)
        placed = [scene.graph[node] for node in scene.graph.nodes_geometry]
        _check_faces([scene.geometry[key] for _, key in placed])
        parts = [_part(scene.geometry[key], transform) for transform, key in placed]
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"{where}: not a readable mesh: {reason}") from error
    if beside.fault is not None:
        raise beside.fault
    if beside.missing:
        missing = ", ".join(dict.fromkeys(beside.missing))
        log.warning("%s: shown without %s, which it refers to", where, missing)
    return join(parts).check(where)


def _load(data: bytes, suffix: str, beside: _Beside) -> Any:
    """Let trimesh read the bytes, vertices and faces as they are."""
    import warnings

    import trimesh

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it cannot read it may also warn of
        return trimesh.load_scene(
            io.BytesIO(data), file_type=suffix, resolver=_resolver(beside), process=False
        )


def _check_faces(placed: Sequence[Any]) -> None:
    """Refuse a scene that has too many faces once every mesh is in its places."""
    count = sum(len(getattr(mesh, "faces", ())) for mesh in placed)
    if count > MAX_FACES:
        raise DataError(f"got {count} faces, expected at most {MAX_FACES}; reduce the mesh")


class _Beside:
    """Finds files that a mesh refers to by name; remembers what is wrong with them."""

    def __init__(self, files: Files, name: str) -> None:
        self.files, self.name = files, name
        self.fault: DataError | None = None
        self.missing: list[str] = []

    def get(self, reference: str) -> bytes:
        """Return the bytes of a file that is referred to.

        Raises:
            FileNotFoundError: there is none; the mesh then goes without it.
        """
        found = self.files.beside(self.name, reference)
        if found not in self.files:
            self.missing.append(f"{found} (there is no such file)")
            raise FileNotFoundError(found)
        try:
            data = self.files.read(found)
        except DataError as error:
            self.fault = error
            raise
        if found.lower().endswith(_PICTURES) and not is_image(data):
            self.missing.append(f"{found} (not a readable image)")
        return data


def _resolver(beside: _Beside) -> Any:
    """Return what trimesh asks for other files."""
    from trimesh.resolvers import Resolver

    class FilesResolver(Resolver):
        def __init__(self) -> None:
            self.file_name = "geometry"

        def get(self, key: str) -> bytes:
            return beside.get(key)

        def keys(self) -> list[str]:
            return beside.files.names

        def write(self, name: str, data: bytes) -> None:
            raise OSError(f"{name}: nothing is written while a mesh is read")

        def namespaced(self, namespace: str) -> FilesResolver:
            raise OSError(f"{namespace}: a mesh refers to files, not to folders")

    return FilesResolver()


def _part(mesh: Trimesh, transform: Array) -> Surface:
    """Return one mesh of a file in its place, with its colors and texture."""
    if not len(getattr(mesh, "faces", ())):  # a cloud or a path
        return join([])
    faces = np.asarray(mesh.faces)
    count = len(faces)
    colors = np.full((count, 3, 3), GRAY, np.float32)
    places, texture = np.zeros((count, 3, 2), np.float32), np.full(count, -1)
    textures: tuple[NDArray[np.float32], ...] = ()
    visual: Any = mesh.visual
    if visual.kind == "texture":
        image, color = _material(visual)
        colors[:] = color
        if image is not None and visual.uv is not None and len(visual.uv) == len(mesh.vertices):
            places = np.nan_to_num(np.asarray(visual.uv, np.float32)[faces][:, :, :2])
            texture, textures = np.zeros(count, np.int64), (_pixels(image),)
        elif image is not None:  # which part of it is seen is not known
            colors *= _pixels(image).mean(axis=(0, 1))
    elif visual.kind == "vertex":
        colors = _unit(visual.vertex_colors)[faces]
    elif visual.kind == "face":
        colors[:] = _unit(visual.face_colors)[:, None]
    vertices = np.asarray(mesh.vertices, np.float64)
    with np.errstate(invalid="ignore"):  # what is not finite is found by `check`
        corners = (vertices @ transform[:3, :3].T + transform[:3, 3])[faces]
    if corners.shape != (count, 3, 3):
        raise DataError("not a readable mesh: expected triangles of points with three coordinates")
    return Surface(corners, colors, places, texture, textures)


def _material(visual: TextureVisuals) -> tuple[Image | None, NDArray[np.float32]]:
    """Return the texture, if there is one, and the color it is multiplied by."""
    material: Any = visual.material
    white = np.ones(3, np.float32)
    if hasattr(material, "baseColorTexture"):
        factor = material.baseColorFactor
        color = white if factor is None else _unit(factor)
        return material.baseColorTexture, color
    if material.image is not None:
        return material.image, white  # exporters often write a black Kd beside map_Kd
    return None, _unit(material.main_color)


def _pixels(image: Image) -> NDArray[np.float32]:
    """Return a texture's colors in [0, 1], reduced.

    Raises:
        DataError: it has too many pixels.
    """
    check_header(image, "texture")
    small = image.convert("RGB")
    small.thumbnail((TEXTURE_SIDE, TEXTURE_SIDE))
    return _unit(np.asarray(small))


def _unit(colors: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return (..., >= 3) colors as (..., 3) in [0, 1]."""
    return np.asarray(colors[..., :3], np.float32) / np.float32(255)
