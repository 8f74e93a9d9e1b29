import base64
import io
import json
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tracking_records import CONFIG, write_best

from ss3d.data.views import ViewSpec, cached_side, eval_view
from ss3d.errors import CheckpointError, DataError
from ss3d.tracking.packaging import REQUIREMENTS
from ss3d.tracking.served_model import BackgroundWarning, ServedModel, load_model
from ss3d.trial.export import load_network


def rgba_image(height: int = 137, width: int = 137, seed: int = 0) -> np.ndarray:
    """Return colored noise with a transparent margin."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 4), dtype=np.uint8)
    pixels[..., 3] = np.pad(pixels[12:-12, 12:-12, 3], 12)
    return pixels


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def best(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("export") / "best"
    write_best(directory)
    return directory


@pytest.fixture(scope="module")
def model(best: Path) -> ServedModel:
    return load_model(best)


def test_paths_bytes_base64_and_arrays_of_an_image_give_one_cloud(
    model: ServedModel, tmp_path: Path
) -> None:
    pixels = rgba_image()
    data = png(pixels)
    (tmp_path / "image.png").write_bytes(data)
    clouds = model.predict(
        [str(tmp_path / "image.png"), data, base64.encodebytes(data).decode(), pixels]
    )
    assert clouds.shape == (4, 64, 3)
    assert clouds.dtype == np.float32
    np.testing.assert_allclose(clouds, np.repeat(clouds[:1], 4, axis=0), atol=1e-6)
    assert np.abs(clouds[0] - model.predict(rgba_image(seed=1))[0]).max() > 1e-4


def test_the_cloud_is_that_of_evaluation(model: ServedModel, best: Path) -> None:
    """A 69 pixel image needs no resize before the crop: exactly what the node cache holds."""
    network, config = load_network(best, torch.device("cpu"))
    side = cached_side(137, config.data.image_size, config.data.crop)
    pixels = rgba_image(side, side)
    view = ViewSpec(side, config.data.image_size, config.data.crop, 1.0)
    with torch.inference_mode():
        expected = network(eval_view(torch.from_numpy(pixels)[None], view)).numpy()
    np.testing.assert_array_equal(model.predict(pixels), expected)


def test_transparent_pixels_count_as_white(model: ServedModel) -> None:
    hidden = np.zeros((69, 69, 4), dtype=np.uint8)
    white = np.full((69, 69, 3), 255, dtype=np.uint8)
    np.testing.assert_array_equal(model.predict(hidden), model.predict(white))
    np.testing.assert_array_equal(model.predict(white / 255), model.predict(white))


def test_a_photo_is_warned_of_unless_its_object_is_cut_out(model: ServedModel) -> None:
    photo = np.random.default_rng(0).integers(0, 200, (90, 60, 3), dtype=np.uint8)
    mask = np.zeros((90, 60), dtype=np.uint8)
    mask[30:60, 20:40] = 255
    with pytest.warns(BackgroundWarning, match=r"image 1: .* of its border .* cut the object out"):
        clouds = model.predict([(photo, mask), photo])
    cut = np.dstack((photo, mask))
    np.testing.assert_allclose(model.predict(cut)[0], clouds[0], atol=1e-6)
    assert np.abs(clouds[0] - clouds[1]).max() > 1e-4


def test_a_network_that_was_trained_on_photos_does_not_warn(tmp_path: Path) -> None:
    write_best(tmp_path / "best")
    metrics = json.loads((tmp_path / "best" / "metrics.json").read_text())
    (tmp_path / "best" / "metrics.json").write_text(json.dumps(metrics | {"busiest_border": 1.0}))
    photo = np.random.default_rng(0).integers(0, 200, (69, 69, 3), dtype=np.uint8)
    assert load_model(tmp_path / "best").predict(photo).shape == (1, 64, 3)  # warnings are errors


def test_no_images_are_refused(model: ServedModel) -> None:
    with pytest.raises(DataError, match="no images"):
        model.predict([])


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    write_best(tmp_path / "best", CONFIG)
    weights = tmp_path / "best" / "student.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(CheckpointError, match="sha256"):
        load_model(tmp_path / "best")


def test_the_requirements_cover_what_serving_imports() -> None:
    """Each third-party package that the served model imports comes with a requirement."""
    code = (
        "import sys; before = set(sys.modules); import ss3d.tracking.served_model;"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    owners = packages_distributions()
    direct = {"numpy", "pillow", "pydantic", "safetensors", "scipy", "torch", "pyarrow", "filelock"}
    imported = {
        owner.lower() for name in loaded.stdout.split() for owner in owners.get(name, ())
    } & direct
    assert imported <= set(REQUIREMENTS)
    assert not {"ray", "optuna", "boto3", "matplotlib"} & set(loaded.stdout.split())
