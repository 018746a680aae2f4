"""A private PgBouncer on loopback in front of a private PostgreSQL, as docs/operations.md has it.

Transaction mode; session mode for the operator, as pg_dump and migrations want it.
"""

import contextlib
import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sendproof_core.database_url import Program
from sendproof_core.errors import UserError
from sendproof_testing import processes
from sendproof_testing.ports import ADDRESS, PortBlock
from sendproof_testing.postgres import ROLES, Cluster

_PROGRAM = Path("/usr/sbin/pgbouncer")
# It refuses to run as root.
_USER = "postgres"
_START_SECONDS = 30.0
_SETTINGS = """
[databases]
* = host={address} port={server_port}

[users]
{operator} = pool_mode=session

[pgbouncer]
listen_addr = {address}
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = transaction
ignore_startup_parameters = extra_float_digits,options
default_pool_size = {pool_size}
server_reset_query_always = 0
"""


@contextlib.contextmanager
def running(cluster: Cluster, pool_size: int = 2) -> Iterator[int]:
    """The port of a pool with so many connections for each role and database.

    Raises:
        UserError: PgBouncer is not installed, or does not start.
    """
    if not _PROGRAM.exists():
        raise UserError("the Debian package pgbouncer is missing; `make setup-test` installs it.")
    ports = PortBlock()
    folder = Path(tempfile.mkdtemp(prefix="sendproof-pgbouncer-"))
    try:
        port, users, settings = ports.take(), folder / "users", folder / "pgbouncer.ini"
        for path in (users, settings):
            path.touch(mode=0o600)
        users.write_text("".join(f'"{name}" "{cluster.password}"\n' for name in ROLES.values()))
        settings.write_text(
            _SETTINGS.format(
                address=ADDRESS,
                server_port=cluster.port,
                port=port,
                users=users,
                pool_size=pool_size,
                operator=ROLES[Program.OPERATOR],
            )
        )
        command = [str(_PROGRAM), str(settings)]
        if os.geteuid() == 0:
            user = pwd.getpwnam(_USER)
            for path in (folder, users, settings):
                os.chown(path, user.pw_uid, user.pw_gid)
            command = ["setpriv", "--reuid", _USER, "--regid", _USER, "--init-groups", "--pdeathsig", "INT", *command]
        program = processes.start("pgbouncer", command, folder / "log")
        try:
            processes.wait_for_tcp(program, port, _START_SECONDS)
            yield port
        finally:
            program.end()
    finally:
        ports.release()
        shutil.rmtree(folder)
