"""Help that fits every terminal: prose flows, indented lines stay as they are."""

from __future__ import annotations

import inspect

import typer


def let_flow(app: typer.Typer) -> None:
    """Join the lines of each paragraph of all commands' help, so that Rich breaks them anew."""
    for command in app.registered_commands:
        command.help = _flowing(inspect.getdoc(command.callback) or "")
    for group in app.registered_groups:
        if group.typer_instance is not None:
            let_flow(group.typer_instance)


def _flowing(text: str) -> str:
    paragraphs = text.split("\n\n")
    return "\n\n".join(p if "\n " in p else p.replace("\n", " ") for p in paragraphs)
