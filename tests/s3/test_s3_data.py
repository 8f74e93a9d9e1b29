"""A data set in a bucket: prepared there, trained from there, the same as in a folder."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ss3d.cli.main import app


def ss3d(*words: object) -> dict:
    result = CliRunner().invoke(app, [*map(str, words), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_data_set_in_a_bucket_is_that_of_a_folder(s3_address: str, tmp_path: Path) -> None:
    address = f"{s3_address}/shapes"
    options = ("--models", 16, "--views", 2, "--size", 32, "--name", "shapes")
    there = ss3d("data", "prepare", "procedural", address, *options)
    here = ss3d("data", "prepare", "procedural", tmp_path / "shapes", *options)
    assert there["address"] == address
    assert there["content_hash"] == here["content_hash"]
    assert ss3d("data", "info", address)["splits"] == here["splits"]
    sizes = ("data.image_size=32", "data.num_target_points=64", "model.num_points=32")
    short = ("pretrain.steps=1", "pretrain.epochs=1", "semi.enabled=false")
    sets = [word for value in (*sizes, *short) for word in ("--set", value)]
    values = [
        ss3d("train", "--preset", "tiny", "--data", data, "-o", tmp_path / name,
             "--home", tmp_path / f"home-{name}", *sets)["best"]
        for name, data in (("there", address), ("here", tmp_path / "shapes"))
    ]  # fmt: skip
    assert values[0] == pytest.approx(values[1], abs=0)
