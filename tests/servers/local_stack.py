"""The stack of cluster/local for tests: one per session, started by the user's own command."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self

import psutil
import pytest
from servers.afterwards import afterwards

from cluster.local.place import Place, find_place
from cluster.local.postgres import DATABASES, connect
from cluster.local.service import find_members
from cluster.local.stack import SERVICES, services_of

_COMMANDS = Path(__file__).parents[2] / "cluster" / "local"
_SEEDED = ("alembic_version", "alembic_version_auth", "workspaces", "users")
"""Tables that are not empty in a new database, but for the experiment 0."""
_OWN = ("AWS_", "MLFLOW_", "SS3D_")
_GONE_S = 20.0
_DOWN = 'VIRTUAL_ENV="$0" "$1" "$2" > /dev/null && rm -r "$2"'


ON_EACH_TRACKING = pytest.mark.parametrize("settings", ["embedded", "server"], indirect=True)
"""Runs a test of tests/tracking on SQLite, and against the stack's MLflow."""


class LocalStack(NamedTuple):
    """A stack that runs, and what sourcing its `env` gives."""

    place: Place
    environment: Mapping[str, str]

    @classmethod
    def started(cls, folder: Path, *options: str) -> Self:
        """Start what of a stack does not run."""
        command("up", folder, *options)
        place = find_place(folder)
        assert place is not None
        return cls(place, sourced(folder / "env"))

    @contextmanager
    def with_nodes(self, count: int) -> Iterator[Self]:
        """Let the stack have a Ray head and nodes as well."""
        folder = self.place.folder
        try:
            yield self.started(folder, "--nodes", str(count))
        finally:
            command("up", folder, "--nodes", "0")

    def up(self) -> str:
        """Start again what was killed, and return what is told."""
        return command("up", self.place.folder)

    def kill(self, service: str) -> None:
        """Kill a server that runs, as a crash would, and wait until it is gone."""
        place = find_place(self.place.folder) or self.place
        (found,) = (known for known in services_of(place) if known.name == service)
        members = find_members(found, self.place)
        for process in members:
            process.send_signal(signal.SIGKILL)
        _, alive = psutil.wait_procs(members, _GONE_S)
        assert not alive

    def empty_tracking(self) -> None:
        """Make MLflow's databases those of a new server, users apart."""
        for database in DATABASES:
            with connect(self.place, database, "postgres") as opened, opened.cursor() as cursor:
                cursor.execute("SET session_replication_role = replica")  # no order of tables
                cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
                for (table,) in cursor.fetchall():
                    if table not in _SEEDED:
                        rest = " WHERE experiment_id <> 0" if table == "experiments" else ""
                        cursor.execute(f'DELETE FROM "{table}"{rest}')


def command(name: str, folder: Path, *options: str, code: int = 0) -> str:
    """Run one of the user's commands, which ends with a code, and return what it prints."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OWN)}
    outcome = subprocess.run(
        [_COMMANDS / name, folder, *options],
        env={**kept, "VIRTUAL_ENV": sys.prefix},
        capture_output=True,
        text=True,
    )
    assert outcome.returncode == code, outcome.stderr
    return outcome.stdout


@pytest.fixture(scope="session")
def local_stack() -> Iterator[LocalStack]:
    """Start S3, PostgreSQL and MLflow; skip where one cannot be had, fail then in CI."""
    if lacking := "; ".join(filter(None, (service.lacks() for service in SERVICES))):
        (pytest.fail if os.environ.get("CI") else pytest.skip)(lacking)
    # PostgreSQL, which does not run as root, cannot enter pytest's own folders.
    folder = Path(tempfile.mkdtemp(prefix="ss3d-stack-", dir="/var/tmp"))
    with afterwards("sh", "-c", _DOWN, sys.prefix, _COMMANDS / "down", folder):
        stack = LocalStack.started(folder)
        yield stack
        for service in ("s3", "mlflow"):  # in order it takes 20 seconds, and nobody needs the data
            stack.kill(service)


@pytest.fixture
def stack_access(local_stack: LocalStack, monkeypatch: pytest.MonkeyPatch) -> LocalStack:
    """Give the test an empty MLflow and the environment of a shell that sourced `env`."""
    for name in [name for name in os.environ if name.startswith(_OWN)]:
        monkeypatch.delenv(name)
    for name, value in local_stack.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(local_stack.place.folder / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(local_stack.place.folder / "no-keys"))
    local_stack.empty_tracking()
    return local_stack


def sourced(env: Path) -> dict[str, str]:
    """Return what a shell exports after it has sourced a file."""
    shell = ["env", "-i", "bash", "-c", f"source '{env}' && env -0"]
    printed = subprocess.run(shell, capture_output=True, text=True, check=True).stdout
    pairs = (line.partition("=") for line in printed.split("\0"))
    return {name: value for name, _, value in pairs if name not in ("", "_", "PWD", "SHLVL")}
