"""A worker process: what it has for all the jobs that it runs one after the other."""

from __future__ import annotations

import os
import platform
import tempfile
from pathlib import Path

import torch

from ss3d.config import fingerprint
from ss3d.data.dataset import open_dataset
from ss3d.data.loader import TrialData, load_data
from ss3d.errors import ConfigError, DataError
from ss3d.settings import CACHE_LIMIT_VARIABLE, CACHE_VARIABLE, Settings
from ss3d.store.opening import open_store
from ss3d.study.job import Place
from ss3d.study.spool import Spool
from ss3d.study.uploader import Uploader
from ss3d.trial.gpu_share import limit_memory
from ss3d.trial.records import TrialSpec

_KEPT_DATA = 4
"""Data configurations that a worker keeps mapped."""


def node_cache(drivers: str) -> Path:
    """Return the cache folder of this node: its own `SS3D_CACHE`, or where the driver has its own.

    Args:
        drivers: the driver's cache folder.
    """
    return Path(os.environ.get(CACHE_VARIABLE) or drivers).resolve()


def node_limit(drivers: float) -> float:
    """Return the bytes of decoded data that this node keeps, by `SS3D_CACHE_GIB` or the driver.

    Args:
        drivers: the driver's limit in bytes.

    Raises:
        ConfigError: the variable is no positive number.
    """
    own = os.environ.get(CACHE_LIMIT_VARIABLE)
    if not own:
        return drivers
    try:
        return Settings(cache_gib=float(own)).cache_bytes
    except ValueError as error:
        raise ConfigError(
            f"{CACHE_LIMIT_VARIABLE} of {platform.node()}: got {own!r}, expected GiB above 0"
        ) from error


class Worker:
    """Store, spool, uploader, device and data of one process.

    Args:
        place: where everything is.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.cache_dir = node_cache(place.cache_dir)
        self.store = open_store(place.store)
        self.spool = Spool(self.cache_dir, place.store, place.spool_bytes)
        self.uploader = Uploader(self.spool, self.store)
        self.device = torch.device("cuda" if place.gpus else "cpu")
        limit_memory(self.device, place.gpus)
        self._data: dict[str, TrialData] = {}

    def data(self, spec: TrialSpec) -> TrialData:
        """Return the data of a trial, mapped once for all trials that see the same.

        Raises:
            DataError: the data set is not the one the trial was sealed with.
        """
        key = fingerprint(spec.config.data.model_dump(mode="json"))
        if key not in self._data:
            dataset = open_dataset(open_store(self.place.data))
            if dataset.manifest.content_hash != spec.data_hash:
                raise DataError(
                    f"{self.place.data}: got data {dataset.manifest.content_hash[:12]}…, the study "
                    f"was made with {spec.data_hash[:12]}…"
                )
            while len(self._data) >= _KEPT_DATA:
                del self._data[next(iter(self._data))]
            limit_bytes = node_limit(self.place.cache_bytes)
            self._data[key] = load_data(
                dataset, spec.config.data, self.cache_dir, self.device, limit_bytes=limit_bytes
            )
        return self._data[key]

    def scratch(self) -> tempfile.TemporaryDirectory[str]:
        """Return a folder that is removed after use, on the disk of the cache."""
        return tempfile.TemporaryDirectory(dir=self.spool.root / "new", prefix=f"{os.getpid()}-")
