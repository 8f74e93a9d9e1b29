import base64
import io
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
from ss3d.tracking.served_model import ServedModel, load_model, pad_square, read_pixels
from ss3d.trial.export import load_network


def rgba_image(height: int = 137, width: int = 137, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 4), dtype=np.uint8)


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


def test_an_oblong_image_is_centred_on_a_transparent_square() -> None:
    square = pad_square(np.full((2, 6, 4), 255, dtype=np.uint8))
    assert square.shape == (6, 6, 4)
    assert (square[2:4] == 255).all()
    assert not square[:2].any()
    assert not square[4:].any()


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (b"not an image", "image 0: not a readable image"),
        (png(rgba_image())[:100], "image 0: not a readable image"),
        ("/nowhere/chair.png", "/nowhere/chair.png: cannot be read"),
        (np.zeros((4, 4)), r"got shape \(4, 4\)"),
        (np.full((4, 4, 3), 2.0), r"outside \[0, 1\]"),
        (np.full((4, 4, 3), np.nan), r"outside \[0, 1\]"),
        (3, "got int"),
    ],
)
def test_what_is_not_an_image_is_named(item: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_pixels(item, "image 0")


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
