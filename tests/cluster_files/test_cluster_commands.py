"""The commands in cluster/ are ones that ray, mlflow, weed and ss3d take, option by option."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import typer
from botocore import xform_name
from botocore.session import get_session
from cluster_documents import CLUSTER, load, texts

DOCUMENTS = [load(path) for path in (*CLUSTER.glob("*.yaml"), *CLUSTER.glob("kuberay/*.yaml"))]


def commands(program: str) -> Iterator[list[str]]:
    """Yield the arguments of every call of a program in the documents and the README."""
    blocks = re.findall(r"```bash\n(.*?)```", (CLUSTER / "README.md").read_text(), re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    for text in (*(text for document in DOCUMENTS for text in texts(document)), *lines):
        if re.search(rf"\b{program} ", text):
            yield from calls(program, text)


def calls(program: str, text: str) -> Iterator[list[str]]:
    """Yield the arguments of the calls in a line of shell, and in the lines that it quotes."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=";|&")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in (*lexer, ";"):
        if " " in word:
            yield from calls(program, word)
        if not set(word) <= set(";|&"):
            words.append(word)
            continue
        if words and Path(words[0]).name == program:
            yield words[1:]
        words = []


def check(group: click.Group, words: list[str]) -> str:
    """Return the subcommand of a call; raise if it does not take it."""
    context = group.make_context("program", list(words), resilient_parsing=True)
    name, command, rest = group.resolve_command(context, list(words))
    assert command is not None
    if isinstance(command, click.Group) and rest:
        return f"{name} {check(command, rest)}"
    with command.make_context(name, rest):
        return str(name)


def test_ray_takes_them() -> None:
    from ray.scripts.scripts import cli

    called = [check(cli, words) for words in commands("ray")]
    assert called.count("start") == 4
    assert {"up", "down", "attach"} <= set(called)
    with pytest.raises(click.NoSuchOption):
        check(cli, ["start", "--head", "--dashbord-host=127.0.0.1"])


def test_ss3d_takes_them() -> None:
    from ss3d.cli.main import app

    group: Any = typer.main.get_command(app)
    called = [check(group, words) for words in commands("ss3d")]
    assert {"search", "doctor"} <= set(called)


def test_mlflow_takes_them() -> None:
    from mlflow.cli import cli

    assert [check(cli, words) for words in commands("mlflow")] == ["server"]


def test_aws_takes_them() -> None:
    session = get_session()
    called = []
    for service, operation, *rest in commands("aws"):
        model = session.get_service_model(service)
        names = {xform_name(name, "-"): name for name in model.operation_names}
        shape = model.operation_model(names[operation]).input_shape
        assert shape is not None
        options = {word[2:] for word in rest if word.startswith("--")}
        members = {xform_name(name, "-") for name in shape.members}
        assert options - members <= {"region", "query", "output"}, operation
        assert {xform_name(name, "-") for name in shape.required_members} <= options, operation
        called.append(operation)
    assert {"create-role", "put-role-policy", "get-parameter"} <= set(called)


def test_weed_takes_them() -> None:
    weed = shutil.which("weed", path=str(Path(sys.executable).parent))
    if weed is None:
        pytest.skip("no program weed; the dev extra brings it")
    words = load(CLUSTER / "compose.yaml")["services"]["s3"]["command"].split()
    told = subprocess.run([weed, "help", words[0]], capture_output=True, text=True, timeout=30)
    known = set(re.findall(r"^\s+-([\w.]+)", told.stdout + told.stderr, re.MULTILINE))
    assert {word[1:].partition("=")[0] for word in words[1:]} <= known
