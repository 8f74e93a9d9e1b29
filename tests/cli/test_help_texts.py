"""Help fits a terminal of 80 columns, and no example is broken over two lines."""

from collections.abc import Iterator

import pytest
import typer
from typer.testing import CliRunner

from ss3d.cli.main import app


def commands(command: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*path, name))


def test_help_fits_eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 80)
    paths = list(commands(typer.main.get_command(app)))
    assert ("data", "prepare", "shapenet") in paths
    for path in paths:
        result = CliRunner().invoke(app, [*path, "--help"])
        lines = [line.strip() for line in result.output.splitlines()]
        assert max(map(len, lines)) <= 80, path
        command = typer.main.get_command(app)
        for name in path:
            command = command.commands[name]  # type: ignore[attr-defined]
        for line in (command.help or "").splitlines():
            assert not line.startswith(" ") or line.strip() in lines, (path, line)
