"""Logs in the store: what attempts and sessions told of themselves, one JSON object per line."""

from __future__ import annotations

import json
from typing import Any

from ss3d.errors import CheckpointError
from ss3d.store import layout
from ss3d.store.protocol import Store

Line = dict[str, Any]
"""`time` (UTC, ISO 8601), `level`, `study`, `message`, and what else it is about."""


def read_lines(store: Store, key: str) -> list[Line]:
    """Return the lines of a log, the oldest first; none if there is no such log yet.

    Raises:
        CheckpointError: it is damaged.
    """
    blob = store.get(key)
    try:
        lines = [json.loads(text) for text in blob.data.splitlines()] if blob else []
    except ValueError as error:
        raise CheckpointError(f"{key} is damaged: {error}") from error
    if not all(isinstance(line, dict) for line in lines):
        raise CheckpointError(f"{key} is damaged: got a line that is no JSON object")
    return lines


def log_keys(store: Store, folder: str) -> dict[int, str]:
    """Return the logs of a trial, of what trials share or of a study, by their number.

    Args:
        store: where they are.
        folder: of the trial, of what is shared or of the study.
    """
    keys = (key for key in store.list(f"{folder}/log/") if key.endswith(layout.LOG_SUFFIX))
    return dict(sorted((layout.log_number(key), key) for key in keys))


def tracebacks(store: Store, folder: str) -> dict[str, str]:
    """Return where each attempt failed that did: its traceback, by the attempt's name.

    Args:
        store: where the logs are.
        folder: of a trial or of what trials share.

    Raises:
        CheckpointError: a log is damaged.
    """
    return {
        f"a{number}": line["traceback"]
        for number, key in log_keys(store, folder).items()
        for line in read_lines(store, key)
        if "failure" in line
    }
