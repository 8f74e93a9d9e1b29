"""What many tests need: a small procedural data set and a trial that takes a second."""

import sys
from pathlib import Path

import pytest
import torch
from tiny_space import TINIER

from ss3d.config import TrialConfig
from ss3d.data.dataset import open_dataset
from ss3d.data.items import Shape
from ss3d.data.loader import TrialData, load_data
from ss3d.data.procedural import prepare_procedural
from ss3d.settings import Settings
from ss3d.store.directory import DirectoryStore

pytest_plugins = ["s3.s3_server", "servers.local_stack"]


def pytest_collection_finish() -> None:
    """Refuse tests that import Ray while they are collected: at its import it reads what is set."""
    assert "ray" not in sys.modules, "import Ray in the test, after prepare_environment"


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory) -> Path:
    """A procedural data set: 32 models of eight categories, two views of 64 pixels."""
    folder = tmp_path_factory.mktemp("data")
    shape = Shape(num_views=2, image_size=64, num_points=512)
    prepare_procedural(DirectoryStore(folder), "quick", 32, 0, shape, None)
    return folder


@pytest.fixture(scope="session")
def quick_config() -> TrialConfig:
    """The tiny preset made tinier: two epochs a phase, fractions of a second each."""
    epochs = {"pretrain.steps": 8, "pretrain.epochs": 2, "semi.steps": 6, "semi.epochs": 3}
    return TrialConfig.from_preset("tiny").override(TINIER | epochs)


@pytest.fixture(scope="session")
def tiny_data(data_folder, quick_config, tmp_path_factory) -> TrialData:
    """The data set as the quick trial sees it."""
    cache = tmp_path_factory.mktemp("cache")
    return load_data(open_dataset(DirectoryStore(data_folder)), quick_config.data, cache)


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database; making one takes seconds, copying it does not."""
    from ss3d.tracking.connection import open_client

    home = tmp_path_factory.mktemp("mlflow")
    open_client(Settings(home=home))
    return home / "mlflow.db"


@pytest.fixture(autouse=True)
def _one_thread():
    """Give every test the threads that CI has, whatever the test before did."""
    torch.set_num_threads(1)
