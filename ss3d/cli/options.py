"""Arguments and options that several commands share; values of `--set path=value`."""

from __future__ import annotations

import json
import tomllib
from typing import Annotated, Any

import typer

from ss3d.errors import ConfigError

SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Replace a parameter; may be repeated."),
]
StudyArgument = Annotated[str, typer.Argument(help="Name of a study; `ss3d studies` lists all.")]
StratumOption = Annotated[
    list[str] | None,
    typer.Option("--where", metavar="PATH=VALUE", help="Which stratum; may be repeated."),
]
WhereOption = Annotated[
    list[str] | None,
    typer.Option("--where", metavar="PATH=VALUE", help="Only such trials; may be repeated."),
]
SlotsOption = Annotated[
    int | None, typer.Option("--slots", "--max-concurrent", min=1, help="Trials at once.")
]
AddressOption = Annotated[
    str | None, typer.Option("--address", help="Ray cluster; default: this machine.")
]
ReasonOption = Annotated[
    str, typer.Option("--reason", help="Kept in the ledger of the registered model.")
]


def parse_assignments(assignments: list[str] | None) -> dict[str, Any]:
    """Return dotted paths and values of `path=value` texts.

    A value is read as JSON (`null`, `[1, 2]`), then as TOML (`1_000`, `'text'`), else it is the
    text itself.

    Raises:
        ConfigError: a text has no `=` or no path, or a path is given twice.
    """
    values: dict[str, Any] = {}
    for text in assignments or []:
        path, equals, value = text.partition("=")
        path = path.strip()
        if not equals or not path:
            raise ConfigError(f"--set: got {text!r}, expected PATH=VALUE, e.g. semi.lr=1e-4")
        if path in values:
            raise ConfigError(f"--set: {path} is given twice")
        values[path] = _parse_value(value.strip())
    return values


def _parse_value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if len(parsed) == 1 else text
