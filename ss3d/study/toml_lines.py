"""Where in a TOML file a key stands: tomllib says what, not where."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

from ss3d.errors import ConfigError

_KEY = re.compile(r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'|\s*\.\s*)+?)\s*=""")
_BARE = re.compile(r"[A-Za-z0-9_-]+")

Location = tuple[str, ...]


class TomlFile:
    """A parsed TOML file that can say the line of any of its keys.

    Args:
        text: the file's text.
        label: its path as the user gave it, for messages.

    Raises:
        ConfigError: it is not valid TOML.
    """

    def __init__(self, text: str, label: str) -> None:
        self.text = text
        self.label = label
        try:
            self.tree: dict[str, Any] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{label}: not valid TOML: {error}") from error
        self._lines = _find_lines(text)

    @classmethod
    def read(cls, path: Path) -> TomlFile:
        """Read a file.

        Raises:
            ConfigError: there is none, or it is not valid TOML in UTF-8.
        """
        try:
            return cls(path.read_text(encoding="utf-8"), str(path))
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path}: cannot be read: {error}") from error

    def error(self, location: Location, message: str) -> ConfigError:
        """Return an error that names the line and the key; a missing key gets its table's line."""
        known = location
        while known and known not in self._lines:
            known = known[:-1]
        line = f":{self._lines[known]}" if known else ""
        return ConfigError(f"{self.label}{line}: {_dotted(location)}: {message}")


def _find_lines(text: str) -> dict[Location, int]:
    """Return the first line of every table and key."""
    lines: dict[Location, int] = {}
    table: Location = ()
    counts: Counter[Location] = Counter()
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip().startswith("["):
            table = _parts(line.strip().removeprefix("["), "]") or table
            if line.lstrip().startswith("[["):  # the n-th table of an array
                counts[table] += 1
                lines.setdefault(table, number)
                table = (*table, str(counts[table] - 1))
            found = table
        elif match := _KEY.match(line):
            found = (*table, *_parts(match.group(1), ""))
        else:
            continue
        for depth in range(1, len(found) + 1):
            lines.setdefault(found[:depth], number)
    return lines


def _parts(key: str, end: str) -> Location:
    """Return the parts of a dotted key; nothing if the text is not one."""
    try:
        tree: Any = tomllib.loads(f"[{key}" if end else f"{key} = 0")
    except tomllib.TOMLDecodeError:
        return ()
    parts = []
    while isinstance(tree, dict) and tree:
        part = next(iter(tree))
        parts.append(part)
        tree = tree[part]
    return tuple(parts)


def _dotted(location: Location) -> str:
    return ".".join(part if _BARE.fullmatch(part) else f'"{part}"' for part in location)
