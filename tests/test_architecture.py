"""The house keeps its order: imports go down, modules do nothing at import, nothing is pickled."""

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import ss3d
from ss3d.config import P1, P2, UNSUP, field_marks

ROOT = Path(__file__).parent.parent
MODULES = sorted(m.name for m in pkgutil.walk_packages(ss3d.__path__, "ss3d."))


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_imports_go_down_only():
    done = run(str(Path(sys.executable).parent / "lint-imports"))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", [m for m in MODULES if m != "ss3d.__main__"])
def test_every_module_imports(name):
    assert importlib.import_module(name).__doc__ or name.count(".") == 1


@pytest.mark.slow
def test_training_imports_no_vendor_of_the_platform():
    code = (
        "import sys, ss3d.trial.run, ss3d.trial.directory, ss3d.data.loader, ss3d.cli.trial;"
        "print([m for m in ('ray', 'optuna', 'mlflow', 'boto3') if m in sys.modules])"
    )
    done = run(sys.executable, "-c", code)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_every_field_enters_a_phase():
    unmarked = [path for path, mark in field_marks() if mark not in (P1, P2, UNSUP)]
    assert unmarked == []


FORBIDDEN_CALLS = {
    ("pickle", "load"), ("pickle", "loads"), ("pickle", "dump"), ("pickle", "dumps"),
    ("torch", "save"), ("torch", "load"), ("joblib", "load"), ("joblib", "dump"),
}  # fmt: skip


def test_nothing_of_ours_is_pickled():
    found = []
    for path in (ROOT / "ss3d").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id=module), attr=name)):
                    if (module, name) in FORBIDDEN_CALLS:
                        found.append(f"{path}:{node.lineno}")
                case ast.keyword(arg="allow_pickle", value=ast.Constant(value=True)):
                    found.append(f"{path}:{node.value.lineno}")
    assert found == []
