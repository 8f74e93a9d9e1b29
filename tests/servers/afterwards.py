"""A command that ends what a test has started, even if the test's own process is killed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

_WAIT = ["sh", "-c", 'cat > /dev/null; exec "$@"', "sh"]
"""Waits for the end of its input: the kernel closes it with the process that holds it open."""


@contextmanager
def afterwards(*command: object) -> Iterator[None]:
    """Run a command when the block is left, or when this process dies in it."""
    waiting = subprocess.Popen(
        [*_WAIT, *map(str, command)], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        yield
    finally:
        waiting.communicate()
    assert waiting.returncode == 0, command
