"""The files of a checkpoint: tensors as safetensors, everything else as JSON, sha256 of both."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor

from ss3d.config import canonical_json
from ss3d.errors import CheckpointError, ServiceError
from ss3d.trial.records import SCHEMA

Tensors = dict[str, Tensor]


def write_checkpoint(directory: Path, parts: dict[str, Tensors], header: dict[str, Any]) -> None:
    """Write the parts and state.json beside the directory, then put it in place by renaming.

    Raises:
        ServiceError: the disk is full or not writable; what was there before is kept.
    """
    fresh, old = directory.with_name(directory.name + ".new"), backup_of(directory)
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        sha = {name: write_tensors(fresh / f"{name}.safetensors", t) for name, t in parts.items()}
        state = {"schema": SCHEMA, "sha256": sha, **header}
        (fresh / "state.json").write_text(json.dumps(state))
        if directory.exists():
            shutil.rmtree(old, ignore_errors=True)
            directory.rename(old)
        fresh.rename(directory)
        shutil.rmtree(old, ignore_errors=True)
    except (OSError, SafetensorError) as error:
        raise ServiceError(f"cannot write checkpoint {directory}: {error}") from error


def read_checkpoint(directory: Path) -> tuple[dict[str, Any], dict[str, Tensors]]:
    """Return state.json and the parts that it names, verified.

    Raises:
        CheckpointError: a file is missing or damaged, or written by a newer ss3d.
    """
    if not directory.exists() and backup_of(directory).exists():
        directory = backup_of(directory)  # killed between the two renames of write_checkpoint
    header = read_json(directory / "state.json")
    if header.get("schema", 0) > SCHEMA:
        raise CheckpointError(f"{directory} was written by a newer ss3d; update this one")
    parts = {
        name: read_weights(directory / f"{name}.safetensors", sha)
        for name, sha in header.get("sha256", {}).items()
    }
    return header, parts


def backup_of(directory: Path) -> Path:
    """Return where the checkpoint that is being replaced waits."""
    return directory.with_name(directory.name + ".old")


def write_tensors(path: Path, tensors: Tensors) -> str:
    """Write a safetensors file and return its sha256."""
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_weights(path: Path, sha256: str) -> Tensors:
    """Read a safetensors file on the CPU.

    Raises:
        CheckpointError: it is missing, or its sha256 is not the recorded one.
    """
    try:
        data = path.read_bytes()
        if (got := hashlib.sha256(data).hexdigest()) != sha256:
            raise CheckpointError(
                f"{path} is damaged: sha256 {got[:12]}…, recorded {sha256[:12]}…; "
                "restore the file or start again"
            )
        return load(data)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error


def recorded_sha(directory: Path) -> str:
    """Return the sha256 of student.safetensors that metrics.json of an export records."""
    return str(read_json(directory / "metrics.json").get("sha256", ""))


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        CheckpointError: there is no such file, or it is not a JSON object.
    """
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} is not a JSON object")
    return value


def write_json(path: Path, value: object) -> None:
    """Write a value as canonical JSON, by renaming."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(canonical_json(value))
    fresh.rename(path)


def flatten_optimizer(state: dict[str, Any]) -> tuple[Tensors, list[dict[str, Any]]]:
    """Split an optimizer's state into tensors named `<parameter>.<moment>` and its groups."""
    tensors = {
        f"{index}.{name}": torch.as_tensor(value)
        for index, moments in state["state"].items()
        for name, value in moments.items()
    }
    return tensors, state["param_groups"]


def unflatten_optimizer(tensors: Tensors, groups: list[dict[str, Any]]) -> dict[str, Any]:
    """Undo `flatten_optimizer`."""
    state: dict[int, Tensors] = {}
    for name, tensor in tensors.items():
        index, _, moment = name.partition(".")
        state.setdefault(int(index), {})[moment] = tensor
    return {"state": state, "param_groups": groups}
