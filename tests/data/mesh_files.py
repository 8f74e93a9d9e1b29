"""Mesh files in the formats people have, written by hand."""

import io
import json
import struct
import zipfile

import numpy as np
from PIL import Image

CORNERS = np.array([(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
"""Of the unit cube."""
QUADS = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))


def cube(size=(1, 1, 1), at=(0, 0, 0)):
    """Vertices (8, 3) and outward faces (12, 3) of a box."""
    faces = [face for a, b, c, d in QUADS for face in ((a, b, c), (a, c, d))]
    return CORNERS * size + at, np.array(faces)


def obj(vertices, faces, head="", uv=None):
    lines = [head, *(f"v {x} {y} {z}" for x, y, z in vertices)]
    if uv is not None:
        lines += [f"vt {u} {v}" for u, v in uv]
    mark = "{0}/{0}" if uv is not None else "{0}"
    lines += ["f " + " ".join(mark.format(i + 1) for i in face) for face in faces]
    return "\n".join(lines) + "\n"


def ply(vertices, faces, colors=None):
    """ASCII, with the colors (V, 3) of the vertices."""
    fields = ["property float x", "property float y", "property float z"]
    if colors is not None:
        fields += [f"property uchar {name}" for name in ("red", "green", "blue")]
        vertices = np.hstack((vertices, colors))
    head = ["ply", "format ascii 1.0", f"element vertex {len(vertices)}", *fields]
    if len(faces):
        head += [f"element face {len(faces)}", "property list uchar int vertex_indices"]
    rows = [" ".join(f"{value:g}" for value in row) for row in vertices]
    rows += [f"3 {a} {b} {c}" for a, b, c in faces]
    return "\n".join([*head, "end_header", *rows]) + "\n"


def off(vertices, faces):
    rows = [" ".join(map(str, row)) for row in vertices]
    rows += ["3 " + " ".join(map(str, face)) for face in faces]
    return f"OFF\n{len(vertices)} {len(faces)} 0\n" + "\n".join(rows) + "\n"


def stl(vertices, faces):
    rows = [struct.pack("<12fH", 0, 0, 0, *vertices[f].reshape(-1), 0) for f in faces]
    return bytes(80) + struct.pack("<I", len(faces)) + b"".join(rows)


def glb(vertices, faces, color):
    """Binary glTF with one material of that base color."""
    points = np.asarray(vertices, "<f4")
    blob = points.tobytes() + np.asarray(faces, "<u4").tobytes()
    low, high = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    views = ((0, points.nbytes), (points.nbytes, faces.size * 4))
    tree = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "material": 0}]}],
        "materials": [{"pbrMetallicRoughness": {"baseColorFactor": [*color, 1]}}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": len(points), "type": "VEC3"}
            | {"min": low, "max": high},
            {"bufferView": 1, "componentType": 5125, "count": faces.size, "type": "SCALAR"},
        ],
        "bufferViews": [{"buffer": 0, "byteOffset": a, "byteLength": n} for a, n in views],
        "buffers": [{"byteLength": len(blob)}],
    }
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    chunks += struct.pack("<I4s", len(blob), b"BIN\0") + blob
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def zip_of(path, contents, compression=zipfile.ZIP_DEFLATED):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


def image_bytes(pixels, kind="PNG"):
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(buffer, format=kind)
    return buffer.getvalue()
