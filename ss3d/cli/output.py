"""How every command prints: one JSON document with `--json`, a table or text without."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console

console = Console()
errors = Console(stderr=True)

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]


def emit(value: Any, as_json: bool, show: Callable[[], None]) -> None:
    """Print a command's result.

    Args:
        value: JSON-serializable result; numbers that are not finite become null.
        as_json: print `value` as JSON on stdout.
        show: prints it for a person.
    """
    if as_json:
        print(json.dumps(_finite(value), indent=2, ensure_ascii=False))
    else:
        show()


def _finite(value: Any) -> Any:
    """Return the value with NaN and infinities as None: JSON has neither."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_finite(item) for item in value]
    return value
