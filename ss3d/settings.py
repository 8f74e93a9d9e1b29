"""Where we run: home, store, tracking, Ray address, cache. Never changes a result.

Precedence: command line > environment > `ss3d.toml` in the working directory > defaults.
"""

from __future__ import annotations

import math
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ss3d.errors import ConfigError

CACHE_VARIABLE = "SS3D_CACHE"
CACHE_LIMIT_VARIABLE = "SS3D_CACHE_GIB"
_VARIABLES = {
    "home": "SS3D_HOME",
    "store": "SS3D_STORE",
    "tracking": "SS3D_TRACKING",
    "study_db": "SS3D_STUDY_DB",
    "ray_address": "SS3D_RAY_ADDRESS",
    "cache": CACHE_VARIABLE,
    "cache_gib": CACHE_LIMIT_VARIABLE,
    "spool_gib": "SS3D_SPOOL_GIB",
    "lease_s": "SS3D_LEASE_S",
}


class Settings(BaseModel):
    """Addresses of everything a command talks to; the defaults need no server."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path = Path("ss3d-data")
    """Folder of the embedded defaults."""
    store: str = ""
    """Address of the store: a directory or `s3://BUCKET/PREFIX`; default `<home>/store`."""
    tracking: str = ""
    """MLflow tracking URI; default the SQLite file `<home>/mlflow.db`."""
    study_db: str = ""
    """Optuna journal file; default `<home>/optuna.journal`."""
    ray_address: str = ""
    """Ray cluster to join; default starts Ray in this machine."""
    cache: Path | None = None
    """Folder of the decoded data sets; default `<home>/cache`; other nodes may have their own."""
    cache_gib: Annotated[float, Field(gt=0)] = math.inf
    """GiB of decoded data sets that a node keeps; other nodes may have their own limit."""
    spool_gib: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 20.0
    """GiB that may wait on a node for a store that is away, before training pauses."""
    lease_s: float = Field(default=30.0, gt=0)
    """Seconds until another driver may take a study whose own is silent on another machine."""

    @property
    def store_address(self) -> str:
        """Return the address of the store."""
        return self.store or str(self.home.resolve() / "store")

    @property
    def tracking_uri(self) -> str:
        """Return the MLflow tracking URI."""
        return self.tracking or f"sqlite:///{self.home.resolve() / 'mlflow.db'}"

    @property
    def artifact_root(self) -> str:
        """Return where MLflow keeps artifacts when tracking is the embedded default."""
        return (self.home.resolve() / "mlartifacts").as_uri()

    @property
    def study_journal(self) -> Path:
        """Return the file of Optuna's journal."""
        return Path(self.study_db) if self.study_db else self.home.resolve() / "optuna.journal"

    @property
    def cache_bytes(self) -> float:
        """Return the limit of the decoded data sets of a node, in bytes."""
        return self.cache_gib * 2**30

    @property
    def spool_bytes(self) -> float:
        """Return the limit of what waits on a node, in bytes."""
        return self.spool_gib * 2**30

    @property
    def cache_dir(self) -> Path:
        """Return the folder of decoded data sets on this node."""
        return (self.cache or self.home / "cache").resolve()


def load_settings(**flags: str | Path | None) -> Settings:
    """Merge flags, environment, `ss3d.toml` and defaults.

    Args:
        flags: values given on the command line; None means not given.

    Raises:
        ConfigError: `ss3d.toml` is not valid or has an unknown name.
    """
    values: dict[str, Any] = {}
    path = Path("ss3d.toml")
    try:
        if path.exists():
            values.update(tomllib.loads(path.read_text()))
        for name, variable in _VARIABLES.items():
            if os.environ.get(variable):
                values[name] = os.environ[variable]
        values.update({name: value for name, value in flags.items() if value is not None})
        return Settings.model_validate(values)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    except ValidationError as error:
        raise ConfigError(f"settings: {', '.join(map(_describe, error.errors()))}") from error


def _describe(fault: Any) -> str:
    """Return what is wrong with one setting."""
    name = ".".join(str(part) for part in fault["loc"])
    if name in _VARIABLES:
        return f"{name}: got {fault['input']!r}: {fault['msg'].lower()}"
    return f"{name} not valid; expected some of {', '.join(_VARIABLES)}"
