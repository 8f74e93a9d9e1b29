"""Help that fits every terminal: prose flows, examples stay as they are and stand out."""

from __future__ import annotations

import inspect

import typer
from rich.markup import escape

_EXAMPLE = "cyan"


def let_flow(app: typer.Typer) -> None:
    """Join the lines of each paragraph of all commands' help, so that Rich breaks them anew."""
    if isinstance(app.info.help, str):
        app.info.help = _flowing(app.info.help)
    for command in app.registered_commands:
        command.help = _flowing(inspect.getdoc(command.callback) or "")
    for group in app.registered_groups:
        if group.typer_instance is not None:
            let_flow(group.typer_instance)


def _flowing(text: str) -> str:
    """Return a help text for Rich, which is to take nothing in it, as `[onnx]`, for a style."""
    paragraphs = escape(text.strip()).split("\n\n")
    return "\n\n".join(_examples(p) if "\n " in p else p.replace("\n", " ") for p in paragraphs)


def _examples(paragraph: str) -> str:
    """Return a paragraph whose indented lines are examples.

    With their style before it, Typer does not take the indentation for that of all lines.
    """
    lines = paragraph.split("\n")
    return "\n".join(f"[{_EXAMPLE}]{line}[/]" if line[0] == " " else line for line in lines)
