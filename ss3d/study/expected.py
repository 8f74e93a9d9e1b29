"""Versions that must be where a search is sent to as where it is sent from.

Runs there before the search does, from the shipped code: `python -m ss3d.study.expected FILE`.
"""

from __future__ import annotations

import json
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ss3d.errors import RefusedError

_PACKAGES = ("numpy", "optuna", "ray", "torch")
"""What decides results and proposals, and what talks to the cluster."""


def versions_to_expect() -> dict[str, str]:
    """Return the versions here; without what tells builds for a CPU and for GPUs apart."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python, **{name: _version(name) for name in _PACKAGES}}


def check_expected(expected: dict[str, str]) -> None:
    """Compare versions with those here.

    Raises:
        RefusedError: one differs, or a package is missing.
    """
    here = versions_to_expect()
    differing = [
        f"{k} {here.get(k)}, expected {v}" for k, v in expected.items() if here.get(k) != v
    ]
    if differing:
        raise RefusedError(
            f"the cluster's head has other versions than who submitted: {'; '.join(differing)}; "
            "install the same on all machines, e.g. by one image or constraints.txt"
        )


def _version(name: str) -> str:
    try:
        return version(name).partition("+")[0]
    except PackageNotFoundError:
        return "missing"


def run(path: Path) -> int:
    """Compare with a file's versions, say what differs, and return the exit code."""
    try:
        check_expected(json.loads(path.read_text()))
    except RefusedError as error:
        sys.stderr.write(f"ss3d: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1])))
