"""Identities: the code version, the pretrain key and the sealed spec of a trial."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import platform
from pathlib import Path
from typing import Any

from ss3d.config import TrialConfig, fingerprint
from ss3d.trial.records import Phase

PRETRAIN_CODE = (
    "ss3d.training.pretrain",
    "ss3d.training.evaluate",
    "ss3d.training.numerics",
    "ss3d.trial.state",
    "ss3d.data.loader",
)
"""Modules whose imports are all the code that can change a pretrained state."""
TRIAL_CODE = ("ss3d.trial.run", *PRETRAIN_CODE)
"""Modules whose imports are all the code that can change a trial."""
_VALUES_ONLY = {"ss3d.config", "ss3d.errors"}
"""Modules that compute nothing: what they hold is hashed as values, or is no result."""


@functools.cache
def code_version(phase: Phase = "semi") -> str:
    """Return the sha256 of the code that decides a phase, as it was at the first call.

    Args:
        phase: `semi` for a whole trial, `pretrain` for a pretrained state.
    """
    return hash_modules(*(PRETRAIN_CODE if phase == "pretrain" else TRIAL_CODE))


def hash_modules(*roots: str) -> str:
    """Return the sha256 of some ss3d modules and of all that they import to run.

    Each counts as its syntax tree without docstrings and comments, so neither formatting nor an
    importer changes it.
    """
    return fingerprint({name: ast.unparse(tree) for name, tree in imported_modules(*roots).items()})


def imported_modules(*roots: str) -> dict[str, ast.Module]:
    """Return the ss3d modules that some modules import to run, themselves included."""
    trees: dict[str, ast.Module] = {}
    pending = list(roots)
    while pending:
        name = pending.pop()
        path = _source(name)
        if name in trees or name in _VALUES_ONLY or path is None:
            continue
        trees[name] = _without_docstrings(ast.parse(path.read_text()))
        pending.extend(_imports(trees[name]))
    return trees


def pretrain_key(config: TrialConfig, data_hash: str) -> str:
    """Return the identity of a pretrained state: everything that can change one of its bits.

    The split needs no hash of its own: the data, the `data` group and the code decide it.
    """
    return fingerprint(
        {
            "fields": config.pretrain_fields(),
            "data": data_hash,
            "code": code_version("pretrain"),
            "torch": versions()["torch"],
        }
    )


def control_key(config: TrialConfig, data_hash: str) -> str:
    """Return the identity of a trial's supervised control; empty where there is nothing to control.

    A trial that ends with its pretrained state, or sees no unlabeled image, has none.
    """
    if not config.semi.enabled or config.semi.lambda_u == 0:
        return ""
    return fingerprint(
        {
            "fields": config.control().flatten(),
            "data": data_hash,
            "code": code_version(),
            "torch": versions()["torch"],
        }
    )


def versions() -> dict[str, str]:
    """Return the versions of what computes."""
    import numpy
    import torch

    import ss3d

    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": numpy.__version__,
        "ss3d": ss3d.__version__,
    }


def machine() -> dict[str, str]:
    """Return what may change bits between machines: device, CPU capability, system."""
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return {
        "device": device,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "system": f"{platform.system()} {platform.machine()}",
        "host": platform.node(),
    }


def describe_code() -> dict[str, Any]:
    """Return the code versions that lineage records."""
    return {
        "trial": code_version(),
        "pretrain": code_version("pretrain"),
        "versions": versions(),
    }


def _source(name: str) -> Path | None:
    """Return the file of an ss3d module; None for a name inside one or for a package without."""
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return None
    return Path(spec.origin) if spec and spec.origin else None


def _imports(tree: ast.AST) -> list[str]:
    """Return the ss3d modules that a tree imports outside `if TYPE_CHECKING`."""
    names: list[str] = []
    pending = list(ast.iter_child_nodes(tree))
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        pending.extend(ast.iter_child_nodes(node))
    return sorted(name for name in names if name.startswith("ss3d."))


def _without_docstrings(tree: ast.Module) -> ast.Module:
    """Remove every bare string: docstrings of modules, classes, functions and attributes."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            kept = [line for line in body if not _is_text(line)]
            node.body = kept or [ast.Pass()]  # type: ignore[attr-defined]
    return tree


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
