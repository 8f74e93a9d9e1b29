"""Help fits a terminal of 80 columns, shows examples unbroken, and swallows nothing."""

from collections.abc import Iterator
from typing import Any

import pytest
import typer
from rich.text import Text
from typer.testing import CliRunner

from ss3d.cli.main import app


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*path, name))


def shown(path: tuple[str, ...]) -> str:
    return CliRunner().invoke(app, [*path, "--help"]).output


def test_help_fits_eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 80)
    every = dict(commands(typer.main.get_command(app)))
    assert ("data", "prepare", "shapenet") in every
    for path, command in every.items():
        lines = [line.rstrip() for line in shown(path).splitlines()]
        assert max(map(len, lines)) <= 80, path
        told = Text.from_markup(command.help or "").plain.splitlines()
        examples = [line for line in told if line.startswith("  ")]
        assert all(f" {line}" in lines for line in examples), path
        assert examples or hasattr(command, "commands"), f"{path} has no example"


def test_brackets_are_shown() -> None:
    assert "ss3d[onnx]" in shown(("model", "export"))
    assert "[resources]" in shown(("validate",))
