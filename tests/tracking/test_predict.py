import json
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from tracking_records import write_best
from typer.testing import CliRunner, Result

from ss3d.cli import predict
from ss3d.cli.prediction_files import Work, list_work
from ss3d.errors import ConfigError, DataError
from ss3d.report.clouds import read_ply
from ss3d.tracking.served_model import load_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("run")
    write_best(directory / "best")
    return directory


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three images with masks of same names, one that is cut short, and a note."""
    rng = np.random.default_rng(0)
    mask = np.zeros((80, 60), dtype=np.uint8)
    mask[20:60, 15:45] = 255
    for name in ("b.png", "a/c.jpg", "a/b.png"):
        for folder, pixels in (
            ("photos", rng.integers(0, 200, (80, 60, 3), dtype=np.uint8)),
            ("masks", mask),
        ):
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path if folder == "photos" else path.with_suffix(".png"))
    whole = (tmp_path / "photos" / "b.png").read_bytes()
    (tmp_path / "photos" / "broken.png").write_bytes(whole[:200])
    (tmp_path / "photos" / "notes.txt").write_text("taken on Friday")
    (tmp_path / "photos" / "._b.png").write_text("left by another system")
    return tmp_path / "photos"


def invoke(*arguments: object) -> Result:
    app = typer.Typer()
    app.command()(predict.predict)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_folder_is_done_but_for_the_image_that_is_named(
    model: Path, photos: Path, tmp_path: Path
) -> None:
    out, drawn = tmp_path / "clouds", tmp_path / "drawn"
    outcome = invoke(
        photos, "--model", model, "--mask", tmp_path / "masks", "-o", out, "--json",
        "--sheet", drawn / "s.png", "--picture", drawn / "p.png", "--viewer", drawn / "v.html",
    )  # fmt: skip
    assert isinstance(outcome.exception, DataError)
    assert outcome.exception.exit_code == 3
    assert "1 of 4 images cannot be used; the rest is done" in str(outcome.exception)
    assert f"{photos / 'broken.png'}: not a readable image" in outcome.stderr
    value = json.loads(outcome.stdout)
    names = ["a/b", "a/c", "b"]
    assert [one["cloud"] for one in value["predictions"]] == [f"{out / name}.ply" for name in names]
    assert list(value["failed"]) == [str(photos / "broken.png")]
    assert value["skipped"] == [str(photos / "._b.png"), str(photos / "notes.txt")]
    for one, name in zip(value["predictions"], names, strict=True):
        pair = (one["image"], tmp_path / "masks" / f"{name}.png")
        expected = load_model(model / "best").predict(pair)[0]
        np.testing.assert_allclose(read_ply(Path(one["cloud"])), expected, atol=1e-6)
        assert one["warning"] == ""
    with Image.open(drawn / "s.png") as sheet, Image.open(drawn / "p.png") as picture:
        assert sheet.width > 600
        assert picture.height > 500
    assert "numbers are cd_l1" not in (drawn / "v.html").read_text()


def test_a_photo_that_is_not_cut_out_is_done_with_a_warning(
    model: Path, photos: Path, tmp_path: Path
) -> None:
    image, cloud = photos / "b.png", tmp_path / "cloud.npy"
    outcome = invoke(image, "--model", model, "-o", cloud)
    assert outcome.exit_code == 0
    assert f"{image}: 43% of its border is not the plain background" in outcome.stderr
    assert np.load(cloud).shape == (64, 3)


def test_a_missing_mask_fails_its_image_alone(model: Path, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "masks" / "b.png").unlink()
    images = (photos / "b.png", photos / "a")
    outcome = invoke(
        *images, "--model", model, "--mask", tmp_path / "masks" / "a", "-o", tmp_path / "o"
    )
    assert outcome.exit_code == 0  # a/b.png is the mask of both images b
    outcome = invoke(*images, "--model", model, "--mask", tmp_path / "masks", "-o", tmp_path / "o")
    assert "3 images cannot be used" in str(outcome.exception)
    assert "masks/b.png: cannot be read: No such file" in outcome.stderr


def test_clouds_of_one_name_are_numbered(tmp_path: Path) -> None:
    out = tmp_path / "out"
    work, skipped = list_work([Path("a.png"), Path("b/a.png")], None, out, "npy")
    assert work == [
        Work(Path("a.png"), out / "a.npy", None),
        Work(Path("b/a.png"), out / "a-2.npy", None),
    ]
    assert not skipped
    assert list_work([Path("a.png")], None, Path("x.npy"), "ply")[0][0].cloud == Path("x.npy")


def test_what_does_not_fit_is_told_before_a_model_is_loaded(photos: Path, tmp_path: Path) -> None:
    two = [photos / "b.png", photos / "a" / "b.png"]
    with pytest.raises(ConfigError, match="for 2 images; name a folder"):
        list_work(two, None, tmp_path / "out.ply", "ply")
    with pytest.raises(ConfigError, match="for 2 images; name a folder"):
        list_work(two, photos / "b.png", tmp_path, "ply")
    with pytest.raises(ConfigError, match=r"expected \.ply, \.npy or a folder"):
        list_work(two[:1], None, tmp_path / "out.obj", "ply")
    with pytest.raises(ConfigError, match="there is no file or folder"):
        list_work(two, tmp_path / "nowhere", tmp_path, "ply")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no image among 0 files"):
        list_work([tmp_path / "empty"], None, tmp_path, "ply")
    outcome = invoke(two[0], "--model", "none", "-o", tmp_path, "--sheet", "sheet.gif")
    assert "expected a name in .png" in str(outcome.exception)
