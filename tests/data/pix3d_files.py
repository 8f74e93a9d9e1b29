"""Pix3D in miniature, in exactly the published layout."""

import io
import json

import numpy as np
from mesh_files import cube, image_bytes, obj, write
from scipy.io import savemat

WIDTH, HEIGHT = 60, 40
BOX = (20, 10, 40, 30)
COUNTS = {"bed": 12, "chair": 4, "sofa": 8}
IMAGES_PER_MODEL = 2


class Pix3dTree:
    """Photos of a gray wall with a colored object; the mask is the object's box."""

    def __init__(self, root):
        self.root = root
        self.records = []
        for category, count in COUNTS.items():
            for number in range(count):
                self.add(category, number)
        self.save()

    def add(self, category, number):
        model = f"model/{category}/m{number // IMAGES_PER_MODEL}"
        suffix = "jpg" if number % 4 == 1 else "png"
        record = {
            "img": f"img/{category}/{number + 1:04d}.{suffix}",
            "category": category,
            "img_size": [WIDTH, HEIGHT],
            "2d_keypoints": [],
            "mask": f"mask/{category}/{number + 1:04d}.png",
            "img_source": "synthetic",
            "model": f"{model}/model.obj",
            "model_raw": 0,
            "model_source": "synthetic",
            "3d_keypoints": f"{model}/3d_keypoints.txt",
            "voxel": f"{model}/voxel.mat",
            "rot_mat": np.eye(3).tolist(),
            "trans_mat": [0, 0, 1],
            "focal_length": 35.0,
            "cam_position": [0, 0, -1],
            "inplane_rotation": 0.0,
            "truncated": False,
            "occluded": False,
            "slightly_occluded": False,
            "bbox": list(BOX),
        }
        self.records.append(record)
        kind = "JPEG" if suffix == "jpg" else "PNG"
        write(self.root / record["img"], image_bytes(photo(number), kind))
        write(self.root / record["mask"], image_bytes(mask()))
        if number % IMAGES_PER_MODEL == 0:
            size = (1, 1, 2 + number)
            write(self.root / record["model"], obj(*cube(size)))
            write(self.root / record["voxel"], voxel_mat(size))

    def record(self, key):
        category, image_id = key.split("/")
        return next(r for r in self.records if f"img/{category}/{image_id}." in r["img"])

    def path(self, key, field):
        return self.root / self.record(key)[field]

    def save(self):
        write(self.root / "pix3d.json", json.dumps(self.records))


def photo(number):
    """A wall of (100, 110, 120), an object of (200, 0, number)."""
    pixels = np.full((HEIGHT, WIDTH, 3), (100, 110, 120), np.uint8)
    pixels[BOX[1] : BOX[3], BOX[0] : BOX[2]] = (200, 0, number)
    return pixels


def mask():
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
    pixels[BOX[1] : BOX[3], BOX[0] : BOX[2]] = 255
    return pixels


def voxel_mat(size, compress=True):
    """A filled box of the given sides (x, y, z), turned as Pix3D's grids are."""
    grid = np.zeros((32, 32, 32), np.uint8)
    grid[4 : 4 + size[0] * 2, 4 : 4 + size[1] * 2, 4 : 4 + min(size[2], 12) * 2] = 1
    buffer = io.BytesIO()
    turned = np.rot90(grid, k=1, axes=(1, 2))
    savemat(buffer, {"voxel": turned}, do_compression=compress)
    return buffer.getvalue()
