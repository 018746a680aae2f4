"""Bring the schema up to date, and check that it is. Migrations run in one transaction, one process at a time.

Alembic is imported only where something is migrated: it takes a third of a program's start.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DatabaseError, OperationalError

from sendproof_core.database import Database
from sendproof_core.errors import UserError

if TYPE_CHECKING:
    import alembic.config

_MIGRATIONS = Path(__file__).parent / "migrations"
_VERSIONS = _MIGRATIONS / "versions"
# Any number that no other program on this PostgreSQL uses: the letters "send" as a 32-bit number.
_ADVISORY_LOCK = 0x73656E64


def newest() -> str:
    """The revision that this code wants."""
    return max(path.name.partition("_")[0] for path in _VERSIONS.glob("[0-9]*.py"))


def upgrade(database: Database, revision: str = "head") -> bool:
    """Run the migrations that are missing; whether any was.

    A second process waits for the first (SQLite: BEGIN IMMEDIATE).
    """
    import alembic.command

    with _reaching(), database.writing_connection() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ADVISORY_LOCK})
        before = _current(connection)
        alembic.command.upgrade(_config(connection), revision)
        return before != _current(connection)


def downgrade(database: Database, revision: str) -> None:
    """Go back to an older revision ("base": no tables)."""
    import alembic.command

    with database.writing_connection() as connection:
        alembic.command.downgrade(_config(connection), revision)


def _config(connection: Connection) -> "alembic.config.Config":
    import alembic.config

    config = alembic.config.Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def check(database: Database) -> None:
    """Raise UserError unless the database can be reached and has the newest schema."""
    with _reaching(), database.engine.connect() as connection:
        found = _current(connection)
    if found != newest():
        raise UserError(f"the database has schema {found or 'none'}, not {newest()}; run `sendproof database upgrade`.")


@contextlib.contextmanager
def _reaching() -> Iterator[None]:
    """A database that is away is the operator's to mend, not a traceback."""
    try:
        yield
    except DatabaseError as error:
        # Exactly DatabaseError: SQLite's "file is not a database". Its other kinds are bugs of ours.
        if not isinstance(error, OperationalError) and type(error) is not DatabaseError:
            raise
        reason = str(error.orig).strip().splitlines()[0] if error.orig else "no connection"
        raise UserError(f"the database cannot be reached ({reason}); check [database] url.") from None
