"""Bring the schema up to date, and check that it is. Migrations run in one transaction, one process at a time."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import alembic.command
import alembic.config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError, OperationalError

from sendproof_core.database import Database
from sendproof_core.errors import UserError

_MIGRATIONS = Path(__file__).parent / "migrations"
# Any number that no other program on this PostgreSQL uses: the letters "send" as a 32-bit number.
_ADVISORY_LOCK = 0x73656E64


def _config() -> alembic.config.Config:
    config = alembic.config.Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    return config


def newest() -> str | None:
    """The revision that this code wants."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def upgrade(database: Database, revision: str = "head") -> bool:
    """Run the migrations that are missing; whether any was.

    A second process waits for the first (SQLite: BEGIN IMMEDIATE).
    """
    config = _config()
    with _reaching(), database.writing_connection() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ADVISORY_LOCK})
        config.attributes["connection"] = connection
        before = MigrationContext.configure(connection).get_current_revision()
        alembic.command.upgrade(config, revision)
        return before != MigrationContext.configure(connection).get_current_revision()


def downgrade(database: Database, revision: str) -> None:
    """Go back to an older revision ("base": no tables)."""
    config = _config()
    with database.writing_connection() as connection:
        config.attributes["connection"] = connection
        alembic.command.downgrade(config, revision)


def check(database: Database) -> None:
    """Raise UserError unless the database can be reached and has the newest schema."""
    with _reaching(), database.engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
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
