"""What an export keeps for pictures, as written now and as the first exports wrote it."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from ss3d.errors import CheckpointError
from ss3d.report.previews import read_previews

IDS = ["a/1", "a/2", "b/3"]
CLOUDS = np.random.default_rng(0).normal(size=(3, 5, 3)).astype(np.float32)


def write(best, images, **metadata):
    (best / "previews").mkdir(parents=True)
    tensors = {"predicted": CLOUDS, "target": CLOUDS + 1, **images}
    texts = {"ids": json.dumps(IDS), "categories": json.dumps(["a", "a", "b"]), **metadata}
    save_file(tensors, best / "previews" / "val.safetensors", metadata=texts)
    metrics = {"per_model": dict.fromkeys(IDS, 2.0), "val": {"val/cd_l1": 2.0}}
    (best / "metrics.json").write_text(json.dumps(metrics))
    (best / "config.json").write_text(json.dumps({"model": {"width": 32}}))
    return read_previews(best)


def test_inputs_are_bytes_of_the_rows_that_are_named(tmp_path):
    pixels = np.stack([np.full((4, 4, 3), 255, np.uint8), np.full((4, 4, 3), 51, np.uint8)])
    images = {"image": pixels, "image_row": np.array([0, 2])}
    found = write(tmp_path, images, names=json.dumps({"a": "chair"}))
    assert list(found.images) == ["a/1", "b/3"]
    assert found.images["b/3"].shape == (4, 4, 3)
    np.testing.assert_allclose(found.images["b/3"], 0.2)
    assert found.names == {"a": "chair"}
    assert found.config == {"model.width": 32}
    np.testing.assert_array_equal(found.predicted[1], CLOUDS[1])


def test_the_first_exports_kept_the_first_inputs_as_numbers(tmp_path):
    images = np.linspace(0, 1, 2 * 3 * 4 * 4, dtype=np.float32).reshape(2, 3, 4, 4)
    found = write(tmp_path, {"image": images})
    assert list(found.images) == ["a/1", "a/2"]
    np.testing.assert_array_equal(found.images["a/2"], images[1].transpose(1, 2, 0))
    assert found.names == {}


def test_a_missing_or_torn_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"val\.safetensors: previews cannot be read"):
        read_previews(tmp_path / "nothing")
    write(tmp_path, {"image": np.zeros((1, 3, 4, 4), np.float32)})
    path = tmp_path / "previews" / "val.safetensors"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(CheckpointError, match="previews cannot be read"):
        read_previews(tmp_path)
