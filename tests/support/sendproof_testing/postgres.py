"""A private PostgreSQL on loopback, beside any that the machine has: made in a folder, gone afterwards."""

import contextlib
import itertools
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
from psycopg import sql

from sendproof_core.errors import UserError
from sendproof_testing import processes
from sendproof_testing.ports import ADDRESS, PortBlock

_INSTALLED = Path("/usr/lib/postgresql")
# PostgreSQL refuses to run as root; Debian's package brings this user.
_SERVER_USER = "postgres"
_OWNER = "sendproof"
# Nothing in it outlives the tests: speed instead of durability.
_SETTINGS = (
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "shared_buffers=32MB",
    "timezone=Asia/Tokyo",
)
_START_SECONDS = 30.0
_STOP_SECONDS = 10.0


class Cluster:
    """A running server. Its password is random: other users of the machine cannot sign in."""

    def __init__(self, port: int, password: str) -> None:
        self._port = port
        self._password = password
        self._numbers = itertools.count(1)

    @contextlib.contextmanager
    def empty_database(self) -> Iterator[str]:
        """The SQLAlchemy URL of a new, empty database; dropped afterwards."""
        name = f"sendproof_{next(self._numbers)}"
        self._execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield f"postgresql+psycopg://{_OWNER}:{self._password}@{ADDRESS}:{self._port}/{name}"
        finally:
            self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def wait_until_ready(self, seconds: float) -> None:
        """Return when it takes connections: it listens a moment before."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return self._connect().close()
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.02)

    def _execute(self, statement: sql.Composed) -> None:
        with self._connect() as connection:
            connection.execute(statement)

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host=ADDRESS, port=self._port, user=_OWNER, password=self._password, dbname="postgres", autocommit=True
        )


@contextlib.contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Make a cluster, start it, and remove it with everything in it.

    Raises:
        UserError: PostgreSQL is not installed, or does not start.
    """
    programs = _programs()
    password = secrets.token_hex(24)
    ports = PortBlock()
    port = ports.take()
    folder = Path(tempfile.mkdtemp(prefix="sendproof-postgres-"))
    try:
        _initialise(programs, folder, password)
        settings = (f"port={port}", f"listen_addresses={ADDRESS}", f"unix_socket_directories={folder}", *_SETTINGS)
        options = [part for setting in settings for part in ("-c", setting)]
        command = [*_as_server_user(), str(programs / "postgres"), "-D", str(folder / "data"), *options]
        server = processes.start("postgres", command, folder / "log")
        try:
            processes.wait_for_tcp(server, port, _START_SECONDS)
            cluster = Cluster(port, password)
            cluster.wait_until_ready(_START_SECONDS)
            yield cluster
        finally:
            server.process.send_signal(signal.SIGINT)  # "fast"; SIGTERM would wait for clients
            server.process.wait(_STOP_SECONDS)
    finally:
        ports.release()
        shutil.rmtree(folder)


def _programs() -> Path:
    """The newest version's programs, which Debian keeps off the PATH."""
    found = sorted(_INSTALLED.glob("*/bin/initdb"), key=lambda path: float(path.parent.parent.name))
    if not found:
        raise UserError("the Debian package postgresql is missing; `make setup-test` installs it.")
    return found[-1].parent


def _initialise(programs: Path, folder: Path, password: str) -> None:
    password_file = folder / "password"
    password_file.touch(mode=0o600)
    password_file.write_text(password + "\n", encoding="ascii")
    if os.geteuid() == 0:
        server_user = pwd.getpwnam(_SERVER_USER)
        for path in (folder, password_file):
            os.chown(path, server_user.pw_uid, server_user.pw_gid)
    done = subprocess.run(
        [
            *_as_server_user(),
            str(programs / "initdb"),
            *("-D", str(folder / "data"), "-U", _OWNER, f"--pwfile={password_file}"),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    password_file.unlink()
    if done.returncode != 0:
        raise UserError(f"initdb failed: {done.stderr.strip()}")


def _as_server_user() -> list[str]:
    """The words before a command; it ends if this process is killed."""
    words = ["setpriv", "--pdeathsig", "INT"]
    if os.geteuid() == 0:
        words += ["--reuid", _SERVER_USER, "--regid", _SERVER_USER, "--init-groups"]
    return [*words, "--"]
