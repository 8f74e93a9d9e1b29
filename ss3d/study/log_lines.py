"""Lines of a log while they come: told by us, or by Python's warnings and logging."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

from ss3d.trial.log import Line

_SECRET = re.compile(r"SECRET|PASSWORD|PASSWD|TOKEN|ACCESS_KEY|PRIVATE_KEY|CREDENTIAL")
_NO_SECRET = re.compile(r".*(_PATH|_FILE|_MODE|_URI|_URL|_ENDPOINT)")
_SHORTEST = 8
"""Characters of a value that is hidden; shorter ones are words."""
_LOGIN = re.compile(r'(?<=://)[^\s/@"]+@')
_HIDDEN = "***"


class LogLines(logging.Handler):
    """Collects lines; secrets of the environment are hidden in all of them.

    Args:
        about: what every line says: study, trial, attempt.
        level: of Python's logging from which on messages are taken.
    """

    def __init__(self, about: Mapping[str, object], level: int = logging.WARNING) -> None:
        super().__init__(level)
        self._about = dict(about)
        self._secrets = _secrets(os.environ)
        self._lines: list[str] = []

    def add(self, **facts: object) -> None:
        """Let all later lines say more of what they are about."""
        self._about |= facts

    def tell(self, message: str, level: str = "info", **facts: object) -> None:
        """Add a line.

        Args:
            message: for a person.
            level: `info`, `warning` or `error`.
            facts: what else a program may look for.
        """
        line: Line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "level": level,
            **self._about,
            **facts,
            "message": message,
        }
        text = self._hide(json.dumps(line, default=str, ensure_ascii=False))
        # Half a character, as of a file's name in another encoding, is escaped: no file takes it.
        self._lines.append(text.encode(errors="backslashreplace").decode())

    def emit(self, record: logging.LogRecord) -> None:
        """Take what somebody logged; where nobody else prints it, it is printed as ever."""
        facts = dict(getattr(record, "facts", {}))
        try:
            message = record.getMessage().strip()
        except (TypeError, ValueError, KeyError):  # values that do not suit it: no end of a trial
            message = f"{record.msg} {record.args}"
        if record.exc_info:
            facts["traceback"] = logging.Formatter().formatException(record.exc_info)
        self.tell(message, record.levelname.lower(), **facts)
        if record.levelno >= logging.WARNING and not _is_printed(record) and logging.lastResort:
            logging.lastResort.handle(record)

    def text(self) -> str:
        """Return all lines so far."""
        return "".join(f"{line}\n" for line in self._lines)

    def __len__(self) -> int:
        return len(self._lines)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take Python's warnings and what is logged meanwhile, by ss3d also below warnings."""
        root, own = logging.getLogger(), logging.getLogger("ss3d")
        before = own.level
        own.setLevel(min(self.level, own.getEffectiveLevel()))
        root.addHandler(self)
        logging.captureWarnings(True)
        try:
            yield
        finally:
            logging.captureWarnings(False)
            root.removeHandler(self)
            own.setLevel(before)

    def _hide(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, _HIDDEN)
        return _LOGIN.sub(f"{_HIDDEN}@", text)


def _is_printed(record: logging.LogRecord) -> bool:
    """Return whether another handler takes a record; that of warnings is there to do nothing."""
    logger: logging.Logger | None = logging.getLogger(record.name)
    while logger and record.name != "py.warnings":
        if not all(isinstance(handler, LogLines) for handler in logger.handlers):
            return True
        logger = logger.parent if logger.propagate else None
    return False


def _secrets(environment: Mapping[str, str]) -> list[str]:
    """Return the values that must not be told, as JSON writes them; the longest first."""
    values = {
        json.dumps(value, ensure_ascii=False)[1:-1]
        for name, value in environment.items()
        if len(value) >= _SHORTEST
        and _SECRET.search(name.upper())
        and not _NO_SECRET.fullmatch(name)
    }
    return sorted(values, key=len, reverse=True)
