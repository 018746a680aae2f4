"""Bring the schema up to date, and check that a program can use it. Migrations run in one transaction, one at a time.

A database may be newer than a program (``schema_compatibility`` says from which revision on programs may use it) or,
for a program that says so, older: edges are updated one after the other, and mail flows meanwhile. Alembic is imported
only where something is migrated: it takes a third of a program's start.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError

from sendproof_core import grants
from sendproof_core.database import Database, is_locked_out
from sendproof_core.errors import UserError

if TYPE_CHECKING:
    import alembic.config

_MIGRATIONS = Path(__file__).parent / "migrations"
_VERSIONS = _MIGRATIONS / "versions"
# Any number that no other program on this PostgreSQL uses: the letters "send" as a 32-bit number.
_ADVISORY_LOCK = 0x73656E64
_LOOK_EVERY_SECONDS = 5.0
_TRIES = 10
_log = logging.getLogger(__name__)


def newest() -> str:
    """The revision that this code wants."""
    return max(path.name.partition("_")[0] for path in _VERSIONS.glob("[0-9]*.py"))


def upgrade(database: Database, revision: str = "head") -> bool:
    """Run the migrations that are missing; whether any was.

    A second process waits for the first (SQLite: BEGIN IMMEDIATE). Where each program has a role of its own, the roles
    that exist are granted what is theirs in the same transaction.
    """
    with reaching():
        for last in (*[False] * (_TRIES - 1), True):
            try:
                return _upgrade(database, revision)
            except DBAPIError as error:
                # Who reads or writes meanwhile may hold what we want, and want what we hold.
                if last or not is_locked_out(error):
                    raise
                _log.warning("event=upgrade-tried-again reason=%s", type(error.orig).__name__)
    raise AssertionError("the last try returns or raises")


def _upgrade(database: Database, revision: str) -> bool:
    import alembic.command

    with database.writing_connection() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ADVISORY_LOCK})
        before = _current(connection)
        alembic.command.upgrade(_config(connection), revision)
        grant(connection, database)
        return before != _current(connection)


def grant(connection: Connection, database: Database) -> None:
    """Give every role that exists what `grants.TABLES` says; nothing where all programs use one role."""
    for statement in grants.table_statements(database.roles or {}):
        connection.execute(text(statement))


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


class SchemaTooOld(UserError):
    """The database lacks a migration that the program wants: `sendproof database upgrade` mends it."""


def check(database: Database, oldest: str | None = None) -> None:
    """Make sure that a program can use the database.

    Args:
        database: where to look.
        oldest: the oldest revision that the program works with; None: only the newest that it knows.

    Raises:
        SchemaTooOld: the schema is older than that.
        UserError: the database cannot be reached, has no schema, or is for newer programs.
    """
    with reaching(), database.engine.connect() as connection:
        found = _current(connection)
        wanted = _oldest_program(connection) if found is not None and found > newest() else None
    if found is None or found < (oldest or newest()):
        kind = UserError if found is None else SchemaTooOld  # without any, it may be the wrong database
        raise kind(f"the database has schema {found or 'none'}, not {newest()}; run `sendproof database upgrade`.")
    if found > newest() and (wanted is None or wanted > newest()):
        raise UserError(
            f"the database has schema {found}, which is for newer programs than this one ({newest()}); update "
            "Sendproof on this machine."
        )


def wait_until_usable(database: Database, wait: Callable[[float], bool], oldest: str | None = None) -> bool:
    """As `check`, but a schema that is too old is waited for: another machine may be updating it.

    Args:
        database: where to look.
        wait: sleeps for so many seconds at the most; whether to go on.
        oldest: as for `check`.

    Returns:
        Whether it can be used; False: ``wait`` said to end.
    """
    said = False
    while True:
        try:
            check(database, oldest)
        except SchemaTooOld as error:
            if not said:
                _log.warning("event=waiting-for-schema reason=%s", error)
            said = True
            if not wait(_LOOK_EVERY_SECONDS):
                return False
        else:
            if said:
                _log.info("event=schema-is-there")
            return True


def _oldest_program(connection: Connection) -> str | None:
    if not inspect(connection).has_table("schema_compatibility"):
        return None
    found: str | None = connection.scalar(text("SELECT oldest_program FROM schema_compatibility"))
    return found


@contextlib.contextmanager
def reaching() -> Iterator[None]:
    """A database that is away is the operator's to mend, not a traceback."""
    try:
        yield
    except DatabaseError as error:
        # Exactly DatabaseError: SQLite's "file is not a database". Without a statement: the driver refuses what the URL
        # says. Its other kinds are bugs of ours.
        if not isinstance(error, OperationalError) and type(error) is not DatabaseError and error.statement is not None:
            raise
        reason = str(error.orig).strip().splitlines()[0] if error.orig else "no connection"
        raise UserError(f"the database cannot be reached ({reason}); check [database] url.") from None
