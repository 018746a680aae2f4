"""A fresh record and the settings of a logparser for it; whether it is complete. Measures nothing.

Knows no parser of ours: status lines are looked for from their right end.
"""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select

from sendproof_core import schema_version
from sendproof_core.database import open_database
from sendproof_core.errors import UserError
from sendproof_core.schema import Attempt, UnknownLine
from sendproof_testing.postgres import Cluster

# A delivery that the queue manager puts off without trying is no attempt.
_ATTEMPT = re.compile(rb", dsn=[245]\.\d+\.\d+, status=\w+ \((?!delivery temporarily suspended: )")
_READ_OCTETS = 1 << 24


@dataclass(frozen=True)
class Log:
    """A mail log to measure on."""

    name: str
    path: Path
    lines: int
    attempts: int


def log(name: str, path: Path) -> Log:
    """Count what is in it."""
    lines = attempts = 0
    with path.open("rb") as file:
        while some := file.readlines(_READ_OCTETS):
            lines += len(some)
            attempts += sum(1 for line in some if _ATTEMPT.search(line))
    return Log(name, path, lines, attempts)


@dataclass(frozen=True)
class Record:
    """An empty record. ``server_pid``: of a database server whose work belongs to it; 0: there is none."""

    config: Path
    url: str
    server_pid: int

    def check(self, log: Log) -> None:
        """Every attempt of the log is a row, and every line was understood: else the time says nothing.

        Raises:
            UserError: it is not so.
        """
        database = open_database(self.url)
        with database.reading() as session:
            attempts = session.scalar(select(func.count()).select_from(Attempt))
            unknown = session.scalar(select(func.count()).select_from(UnknownLine))
            example = session.scalar(select(UnknownLine.line).limit(1))
        database.close()
        if attempts != log.attempts or unknown:
            raise UserError(
                f"{log.attempts} attempts in the log gave {attempts} rows, and {unknown} lines were not known"
                f"{f', such as {example!r}' if unknown else ''}."
            )


@contextlib.contextmanager
def in_sqlite(folder: Path, log: Path) -> Iterator[Record]:
    """A record in SQLite."""
    files = folder / "record.db"
    yield _made(folder, f"sqlite:///{files}", log)
    for file in folder.glob(f"{files.name}*"):
        file.unlink()


@contextlib.contextmanager
def in_postgresql(folder: Path, log: Path, cluster: Cluster) -> Iterator[Record]:
    """A record in PostgreSQL."""
    with cluster.empty_database() as url:
        yield _made(folder, url, log, cluster.pid)


def _made(folder: Path, url: str, log: Path, server_pid: int = 0) -> Record:
    database = open_database(url)
    schema_version.upgrade(database)
    database.close()
    config = folder / "sendproof.toml"
    config.touch(mode=0o600)  # it may hold a password
    config.write_text(
        f'[host]\nname = "edge1.relay.example"\n[database]\nurl = "{url}"\n[logparser]\nmaillogs = ["{log}"]\n'
    )
    return Record(config, url, server_pid)
