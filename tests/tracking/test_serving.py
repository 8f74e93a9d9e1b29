import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from tracking_records import write_best
from typer.testing import CliRunner

from ss3d.cli import predict
from ss3d.tracking.packaging import package_model

_PATIENCE_S = 180


@contextmanager
def serve(model: Path, log: Path) -> Iterator[tuple[str, subprocess.Popen]]:
    """Run `mlflow models serve`, as a user would, away from this checkout."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(model)]
    options = ["--env-manager", "local", "-h", "127.0.0.1", "-p", str(port)]
    scripts = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    home = {**os.environ, "PATH": scripts}  # as in an environment that is activated
    home.pop("PYTHONPATH", None)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command + options, cwd=log.parent, env=home, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield f"http://127.0.0.1:{port}", process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def wait_for(address: str, process: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + _PATIENCE_S
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/ping", timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(log.read_text())


def post(address: str, body: dict) -> tuple[int, dict]:
    request = urllib.request.Request(
        f"{address}/invocations", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def predict_cloud(run: Path, image: Path, mask: Path) -> np.ndarray:
    """Return the cloud that `ss3d predict` writes."""
    app = typer.Typer()
    app.command()(predict.predict)
    cloud = run / "cloud.npy"
    arguments = [image, "--mask", mask, "--model", run, "--device", "cpu", "-o", cloud]
    outcome = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert outcome.exception is None, outcome.exception
    return np.load(cloud)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A photo and the mask of its object."""
    image, mask = tmp_path / "photo.png", tmp_path / "mask.png"
    pixels = np.random.default_rng(0).integers(0, 200, (80, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(image)
    inside = np.zeros((80, 60), dtype=np.uint8)
    inside[20:60, 15:45] = 255
    Image.fromarray(inside).save(mask)
    return image, mask


@pytest.mark.slow
def test_a_served_model_answers_with_the_cloud_of_predict(
    tmp_path: Path, files: tuple[Path, Path]
) -> None:
    run, model, log = tmp_path / "run", tmp_path / "model", tmp_path / "serve.log"
    write_best(run / "best")
    package_model(run / "best", model, "# a card", {})
    image, mask = (base64.b64encode(path.read_bytes()).decode() for path in files)
    with serve(model, log) as (address, process):
        expected = predict_cloud(run, *files)
        wait_for(address, process, log)
        rows = [{"image": image, "mask": mask}, {"image": image, "mask": ""}]
        status, answer = post(address, {"dataframe_records": rows})
        assert status == 200, answer
        clouds = np.array(answer["predictions"], dtype=np.float32)
        np.testing.assert_allclose(clouds[0], expected, atol=1e-5)
        assert np.abs(clouds[1] - expected).max() > 1e-4  # without its mask it is another image
        example = json.loads((model / "serving_input_example.json").read_text())
        assert post(address, example)[0] == 200

        bad = base64.b64encode(b"no image").decode()
        status, answer = post(address, {"dataframe_records": [rows[0], {"image": bad, "mask": ""}]})
        assert status == 400
        assert "image 1: not a readable image" in json.dumps(answer)
        path = str(files[0])
        for body in ({"inputs": {"image": [path]}}, {"dataframe_records": [{"image": path}]}):
            assert post(address, body)[0] == 400  # no client reads the server's files
    assert "image 1: 43% of its border" in log.read_text()
