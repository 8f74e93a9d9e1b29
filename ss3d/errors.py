"""Everything that can go wrong by a user, a file or a network, and its exit code.

    Ss3dError                 1   never raised itself
    ├── ConfigError           2   a configuration, search space or command line that is not valid
    │   └── AccessError       4   a service does not know this user, or does not allow this
    ├── DataError             3   a data set, image or cloud that cannot be used
    │   └── CheckpointError   3   a checkpoint or stored record that is damaged or does not fit
    ├── ServiceError          4   store, tracking server or cluster is away
    ├── RefusedError          5   a name is taken, a lease is held, a gate is closed
    │   └── ConflictError     5   a compare-and-swap lost: somebody else wrote first
    └── OutcomeError          6   the work is done and the answer is bad: failed trials, …
        └── DivergedError     6   a loss or metric is not finite

Exit code 130 is an interruption (Ctrl-C): what was running can be resumed.
"""

from __future__ import annotations

from typing import ClassVar


class Ss3dError(Exception):
    """Root of all errors that a user should read; says what was got, expected, and what to do."""

    exit_code: ClassVar[int] = 1


class ConfigError(Ss3dError):
    """A configuration, search space or command line is not valid."""

    exit_code = 2


class AccessError(ConfigError):
    """A service answers, but not to this user: asking again helps nobody, as with a ConfigError."""

    exit_code = 4


class DataError(Ss3dError):
    """A data set, image or cloud cannot be used; names it."""

    exit_code = 3


class CheckpointError(DataError):
    """A checkpoint or stored record is damaged or does not fit the configuration."""


class ServiceError(Ss3dError):
    """A store, tracking server or cluster does not answer."""

    exit_code = 4


class RefusedError(Ss3dError):
    """The request is valid but not allowed now: a name is taken, a lease held, a gate closed."""

    exit_code = 5


class ConflictError(RefusedError):
    """A conditional write lost: the key exists, or its version changed."""


class OutcomeError(Ss3dError):
    """The work was done and its outcome is bad: failed trials, or a rerun that differs."""

    exit_code = 6


class DivergedError(OutcomeError):
    """A loss or a metric is not finite; the trial fails, the study goes on."""
