"""The database server: a PostgreSQL cluster of our own, apart from the system's."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from cluster.local.place import HOST, Place, write_private
from cluster.local.service import Launch
from ss3d.errors import ServiceError

DATABASES = ("mlflow", "mlflow_auth")
USER = "mlflow"
"""Who owns the databases of MLflow, and may do nothing else."""
_ADMIN = "postgres"
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C.UTF-8"}


class Postgres:
    """PostgreSQL on TCP only, with passwords for everybody."""

    name = "postgres"
    num_ports = 1
    passwords = ("postgres_admin", "postgres_mlflow")
    stop_signal = signal.SIGINT
    """Its fast shutdown, which breaks connections and loses nothing."""

    def lacks(self) -> str:
        """Return what is missing to run it."""
        if _bin() is None:
            return "no PostgreSQL server; apt-get install --no-install-recommends postgresql"
        try:
            import psycopg2  # noqa: F401  # asked whether it is there
        except ImportError:
            return "no module psycopg2; pip install -c constraints.txt -e '.[dev]' brings it"
        return ""

    def launch(self, place: Place) -> Launch:
        """Make the cluster if there is none, and return how to start it.

        Raises:
            ServiceError: the cluster cannot be made.
        """
        folder, binaries, user = place.of(self.name), _bin(), _user()
        assert binaries is not None, "lacks was not asked"
        if user is not None:
            shutil.chown(folder, user)
        if not (folder / "data" / "PG_VERSION").exists():
            _init(folder, binaries, user, place.passwords["postgres_admin"])
        options = {
            "listen_addresses": HOST,
            "port": str(place.ports[self.name]),
            "unix_socket_directories": "",
            "max_connections": "100",
        }
        settings = (part for name, value in options.items() for part in ("-c", f"{name}={value}"))
        return Launch([binaries / "postgres", "-D", "data", *settings], _ENVIRONMENT, user)

    def is_ready(self, place: Place) -> bool:
        """Connect, and make the databases of MLflow if there are none."""
        import psycopg2

        try:
            with connect(place, "postgres", _ADMIN) as connection:
                _make_databases(connection, place.passwords["postgres_mlflow"])
            with connect(place, DATABASES[-1]):
                return True
        except psycopg2.OperationalError:
            return False

    def exports(self, place: Place) -> dict[str, str]:
        """Return nothing: only MLflow's server speaks to the database."""
        return {}


@contextmanager
def connect(place: Place, database: str, user: str = USER) -> Iterator[Any]:
    """Open a connection in which each statement is a transaction.

    Args:
        place: of the stack.
        database: its name.
        user: the owner of MLflow's databases, or the administrator.
    """
    import psycopg2

    with closing(psycopg2.connect(**_login(place, database, user), connect_timeout=5)) as opened:
        opened.autocommit = True
        yield opened


def database_uri(place: Place, database: str) -> str:
    """Return where MLflow's server finds a database, with its password."""
    login = _login(place, database, USER)
    return "postgresql+psycopg2://{user}:{password}@{host}:{port}/{dbname}".format_map(login)


def _login(place: Place, database: str, user: str) -> dict[str, Any]:
    password = "postgres_mlflow" if user == USER else "postgres_admin"
    return {
        "host": HOST,
        "port": place.ports["postgres"],
        "dbname": database,
        "user": user,
        "password": place.passwords[password],
    }


def _make_databases(connection: Any, password: str) -> None:
    from psycopg2 import sql

    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (USER,))
        if cursor.fetchone() is None:
            role = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
            cursor.execute(role.format(sql.Identifier(USER), sql.Literal(password)))
        cursor.execute("SELECT datname FROM pg_database")
        known = {name for (name,) in cursor.fetchall()}
        for name in sorted(set(DATABASES) - known):
            made = sql.SQL("CREATE DATABASE {} OWNER {}")
            cursor.execute(made.format(sql.Identifier(name), sql.Identifier(USER)))


def _init(folder: Path, binaries: Path, user: str | None, password: str) -> None:
    """Make the cluster; one that was begun and not ended is removed by initdb itself."""
    secret = folder / "password"
    write_private(secret, password)
    if user is not None:
        shutil.chown(secret, user)
    command = [binaries / "initdb", "-D", "data", "-U", _ADMIN, "--pwfile=password"]
    command += ["-A", "scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8"]
    try:
        outcome = subprocess.run(
            command,
            cwd=folder,
            env=_ENVIRONMENT,
            capture_output=True,
            text=True,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
        )
    finally:
        secret.unlink()
    if outcome.returncode:
        raise ServiceError(
            f"postgres: initdb failed in {folder}: {outcome.stderr.strip()}"
            + (f"\nThe user {user} must reach that folder." if user else "")
        )


def _user() -> str | None:
    """Return whom the server runs as: it refuses to be root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError as error:
        raise ServiceError("postgres: as root it needs the user postgres; there is none") from error


def _bin() -> Path | None:
    """Return the folder of the server's programs, of the newest version that is installed."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=_version)
    on_path = shutil.which("postgres")
    found = [Path(on_path)] if on_path else debian[-1:]
    return found[0].resolve().parent if found else None


def _version(program: Path) -> int:
    return int(program.parts[-3])
