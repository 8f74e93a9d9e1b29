"""Tiny data sets in the exact public format, made by code."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ss3d.cli import main
from ss3d.data.dataset import open_dataset
from ss3d.data.items import ModelItem, Shape, seal
from ss3d.data.shards import Plan, write_dataset
from ss3d.store.directory import DirectoryStore

SIDE = 40
VIEWS = 3
NAMES = {"02691156": "airplane", "03001627": "chair"}


def picture(rng, side=SIDE):
    """Random colors with an opaque disc: what lies outside is transparent but not black."""
    pixels = rng.integers(0, 256, (side, side, 4), dtype=np.uint8)
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    pixels[..., 3] = np.where(x**2 + y**2 < (0.4 * side) ** 2, 255, 0)
    return pixels


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture
def ss3d(monkeypatch, capsys):
    """Run `ss3d data …` as the console script does; returns exit code, stdout and stderr."""

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["ss3d", "data", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main.run()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, " ".join(err.split())

    return run


class Tree:
    """Folders as they come out of ShapeNetRendering.tgz and ShapeNetV1PointCloud.zip."""

    def __init__(self, root: Path, models_per_category: int = 10):
        self.images, self.clouds = root / "ShapeNetRendering", root / "ShapeNetV1PointCloud"
        rng = np.random.default_rng(0)
        for synset in NAMES:
            for number in range(models_per_category):
                self.add(synset, f"m{number:02d}", rng)

    def add(self, synset, model, rng):
        rendering = self.rendering(synset, model)
        rendering.mkdir(parents=True)
        for view in range(VIEWS):
            (rendering / f"{view:02d}.png").write_bytes(png(picture(rng)))
        lines = [f"{45.5 * view} 27.5 0 0.8 25" for view in range(VIEWS)]
        (rendering / "rendering_metadata.txt").write_text("\n".join(lines) + "\n")
        (rendering / "renderings.txt").write_text("".join(f"{v:02d}.png\n" for v in range(VIEWS)))
        cloud = self.cloud(synset, model)
        cloud.parent.mkdir(parents=True, exist_ok=True)
        np.save(cloud, rng.normal(size=(300, 3)) * 0.2 + 5)

    def rendering(self, synset, model):
        return self.images / synset / model / "rendering"

    def cloud(self, synset, model):
        return self.clouds / synset / f"{model}.points.ply.npy"

    def split(self, records):
        path = self.images.parent / "split.json"
        path.write_text(json.dumps(records))
        return path


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path / "source")


@pytest.fixture
def store(tmp_path):
    return DirectoryStore(tmp_path / "set")


def make_items(counts=(("train", 10), ("val", 4), ("test", 2)), points=200):
    """Sealed models of two categories; the cloud of an item is unlike all others."""
    rng = np.random.default_rng(1)
    shape = Shape(VIEWS, SIDE, 128)
    for synset in NAMES:
        number = 0
        for split, count in counts:
            for _ in range(count):
                images = [png(picture(rng)) for _ in range(VIEWS)]
                cloud = rng.normal(size=(points, 3)).astype(np.float32)
                yield seal(ModelItem(f"m{number:02d}", synset, split, images, cloud), shape)
                number += 1


@pytest.fixture
def plan():
    return Plan("tiny", NAMES, Shape(VIEWS, SIDE, 128))


@pytest.fixture
def dataset(store, plan):
    write_dataset(make_items(), store, plan)
    return open_dataset(store)


@pytest.fixture
def items():
    return make_items
