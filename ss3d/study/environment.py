"""What Ray and Tune read from the environment, some of it at their import: set before that."""

from __future__ import annotations

import ipaddress
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from ss3d.errors import ConfigError, RefusedError

TOKEN_ADVICE = "set RAY_AUTH_TOKEN_PATH to a copy of the cluster's token, and no RAY_AUTH_MODE"
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # it prints a lost node's log to our stdout, where JSON goes
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_RESULT_BUFFER_LENGTH": "1",
}


def prepare_environment(home: Path, address: str = "") -> None:
    """Set what is not set; Ray's token is in a file of ours, because its own is readable by all.

    Args:
        home: folder of the token's file.
        address: of a Ray that runs already, which has its own token; empty starts one.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if address and not token_place(os.environ):
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
        return
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    if not address:
        os.environ.setdefault("RAY_AUTH_TOKEN_PATH", str(_make_token(home)))


def check_closed(address: str) -> None:
    """Let a Ray be joined only if it asks for a token, or if nobody else reaches it.

    Raises:
        RefusedError: it does not, or there is no token for it.
    """
    if address and (reason := why_open(address, os.environ)):
        raise RefusedError(f"Ray at {address}: {reason}; {TOKEN_ADVICE}")


def why_open(address: str, environment: Mapping[str, str]) -> str:
    """Return why whoever reaches a Ray could run code there; empty if it asks for a token.

    Empty as well on loopback without a token: nobody else reaches it.
    """
    mode = environment.get("RAY_AUTH_MODE", "").lower()
    if mode not in ("", "token"):
        return "" if is_loopback(address, environment) else f"RAY_AUTH_MODE is {mode}"
    if token_place(environment) or (not mode and is_loopback(address, environment)):
        return ""
    return "there is no token for it"


def token_place(environment: Mapping[str, str]) -> str:
    """Return where Ray finds its token: `RAY_AUTH_TOKEN` or a file; empty if nowhere."""
    if environment.get("RAY_AUTH_TOKEN"):
        return "RAY_AUTH_TOKEN"
    path = Path(environment.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    return str(path) if path.exists() else ""


def is_loopback(address: str, environment: Mapping[str, str]) -> bool:
    """Return whether an address is one that only this machine reaches.

    `auto` is not, if `RAY_ADDRESS` does not say so: Ray listens on all interfaces.
    """
    if address == "auto":
        address = environment.get("RAY_ADDRESS", "auto")
    host = host_of(address)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return host == "localhost"


def host_of(address: str) -> str:
    """Return the host of `HOST:PORT`, `[HOST]:PORT` or `SCHEME://HOST:PORT`."""
    return _parts_of(address).hostname or ""


def port_of(address: str) -> int:
    """Return the port of the same, 0 if none is named.

    Raises:
        ConfigError: it is not one.
    """
    try:
        return _parts_of(address).port or 0
    except ValueError as error:
        raise ConfigError(f"Ray's address: got {address!r}, expected HOST:PORT: {error}") from error


def _parts_of(address: str) -> SplitResult:
    return urlsplit(address if "://" in address else f"//{address}")


def token_file(home: Path) -> Path:
    """Return the file of our own Ray's token."""
    return home.resolve() / "ray-token"


def _make_token(home: Path) -> Path:
    path = token_file(home)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(32))
    return path
