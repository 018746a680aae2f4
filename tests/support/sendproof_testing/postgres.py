"""A private PostgreSQL on loopback, beside any that the machine has: made in a folder, gone afterwards.

Each program has the role that it has in production, so that who writes what is not its own fails.
"""

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
from collections.abc import Iterator, Sequence
from pathlib import Path

import psycopg
from psycopg import sql

from sendproof_core import grants
from sendproof_core.database_url import Program
from sendproof_core.errors import UserError
from sendproof_testing import processes
from sendproof_testing.ports import ADDRESS, PortBlock

_INSTALLED = Path("/usr/lib/postgresql")
# PostgreSQL refuses to run as root; Debian's package brings this user.
_SERVER_USER = "postgres"
_SUPERUSER = "sendproof"
ROLES = {program: f"sendproof_{program}" for program in Program}
# Nothing in it outlives the tests: speed instead of durability.
FAST = (
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "shared_buffers=32MB",
    "timezone=Asia/Tokyo",
)
# PostgreSQL's own defaults, as in production.
DURABLE = ("fsync=on", "synchronous_commit=on", "full_page_writes=on", "shared_buffers=128MB")
_START_SECONDS = 30.0
_STOP_SECONDS = 10.0


class Cluster:
    """A running server. The password of every role is random: other users of the machine cannot sign in.

    ``pid``: of the process whose children all others of the server are.
    """

    def __init__(self, port: int, password: str, log: Path, pid: int) -> None:
        self.port = port
        self.log = log
        self.pid = pid
        self._password = password
        self._numbers = itertools.count(1)

    @contextlib.contextmanager
    def empty_database(self) -> Iterator[str]:
        """The URL of a new, empty database, in which each program has a role of its own; dropped afterwards."""
        name = f"sendproof_{next(self._numbers)}"
        owner = sql.Identifier(ROLES[Program.OPERATOR])
        self._execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), owner))
        try:
            yield f"postgresql+psycopg://sendproof_{{program}}:{self._password}@{ADDRESS}:{self.port}/{name}"
        finally:
            self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def make_roles(self) -> None:
        """Every program's role, with the cluster's password."""
        for statement in grants.role_statements(ROLES):
            self._execute(sql.Composed([sql.SQL(statement)]))
        for name in ROLES.values():
            given = sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(name), sql.Literal(self._password))
            self._execute(given)

    @property
    def password(self) -> str:
        """Of every role."""
        return self._password

    def refusals(self) -> list[str]:
        """What a role wanted to do and may not: the lines of the server's log."""
        return [line for line in self.log.read_text(errors="replace").splitlines() if "permission denied" in line]

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
            host=ADDRESS, port=self.port, user=_SUPERUSER, password=self._password, dbname="postgres", autocommit=True
        )


@contextlib.contextmanager
def running_cluster(settings: Sequence[str] = FAST) -> Iterator[Cluster]:
    """Make a cluster, start it, and remove it with everything in it.

    Args:
        settings: beyond where it listens; `DURABLE` for one that waits for the disk.

    Raises:
        UserError: PostgreSQL is not installed, or does not start.
    """
    programs = server_programs()
    password = secrets.token_hex(24)
    ports = PortBlock()
    port = ports.take()
    folder = Path(tempfile.mkdtemp(prefix="sendproof-postgres-"))
    try:
        _initialise(programs, folder, password)
        place = (f"port={port}", f"listen_addresses={ADDRESS}", f"unix_socket_directories={folder}")
        options = [part for setting in (*place, *settings) for part in ("-c", setting)]
        command = [*_as_server_user(), str(programs / "postgres"), "-D", str(folder / "data"), *options]
        server = processes.start("postgres", command, folder / "log")
        try:
            processes.wait_for_tcp(server, port, _START_SECONDS)
            cluster = Cluster(port, password, folder / "log", server.process.pid)
            cluster.wait_until_ready(_START_SECONDS)
            cluster.make_roles()
            yield cluster
        finally:
            server.process.send_signal(signal.SIGINT)  # "fast"; SIGTERM would wait for clients
            server.process.wait(_STOP_SECONDS)
    finally:
        ports.release()
        shutil.rmtree(folder)


def server_programs() -> Path:
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
            *("-D", str(folder / "data"), "-U", _SUPERUSER, f"--pwfile={password_file}"),
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
