"""Engine and sessions for SQLite and PostgreSQL. Knows no table.

SQLite is used by several processes at once: WAL, ``BEGIN IMMEDIATE`` for every write (a read transaction that turns
into a write fails at once with SQLITE_BUSY_SNAPSHOT), and a library without the WAL-reset bug (sqlite.org/wal.html,
fixed in 3.51.3), which is why the driver is the ``pysqlite3`` wheel.
"""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy
from pysqlite3 import dbapi2 as sqlite_driver
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from sendproof_core.errors import UserError

_SQLITE_FIXED = (3, 51, 3)
_WRITES = "sendproof_writes"
_BUSY_TIMEOUT_MILLISECONDS = 10_000
# A statement that takes this long on PostgreSQL is in trouble; the milter would rather answer 451.
_POSTGRESQL_OPTIONS = "-c timezone=UTC -c lock_timeout=10s -c idle_in_transaction_session_timeout=60s"


class Database:
    """An engine with two kinds of transactions. Make one per process, after any fork."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._writing = engine.execution_options(**{_WRITES: True})
        if engine.dialect.name == "postgresql":  # SQLite's transactions see one state by themselves
            engine = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._reading = engine
        # SQLite has one writer at a time. Threads of one process that meet in BEGIN IMMEDIATE would sleep for longer
        # and longer; here they go one after the other.
        self._turn = threading.RLock() if engine.dialect.name == "sqlite" else None

    @contextlib.contextmanager
    def reading(self) -> Iterator[Session]:
        """A transaction that sees one state of the database and changes nothing."""
        with Session(self._reading) as session, session.begin():
            yield session

    @contextlib.contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction that may write: all of it is committed, or nothing."""
        with self._taking_turns(), Session(self._writing) as session, session.begin():
            yield session

    @contextlib.contextmanager
    def writing_connection(self) -> Iterator[Connection]:
        """As `writing`, without the unit of work: for the milter's and the logparser's few fixed statements."""
        with self._taking_turns(), self._writing.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def _taking_turns(self) -> Iterator[None]:
        if self._turn is None:
            yield
            return
        if not self._turn.acquire(timeout=_BUSY_TIMEOUT_MILLISECONDS / 1000):
            # As SQLite would say it: a caller waits for one time-out, not for those of all before it.
            raise OperationalError("BEGIN IMMEDIATE", None, sqlite_driver.OperationalError("database is locked"))
        try:
            yield
        finally:
            self._turn.release()

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


def open_database(url: str) -> Database:
    """Connect lazily.

    Raises:
        UserError: the URL cannot be used, or the SQLite library has the WAL-reset bug.
    """
    try:
        parsed = sqlalchemy.engine.make_url(url)
    except (sqlalchemy.exc.ArgumentError, ValueError):  # ValueError: a port that is no number
        raise UserError(
            "[database] url is no database URL, such as sqlite:////var/lib/sendproof/sendproof.db."
        ) from None
    match parsed.get_backend_name():
        case "sqlite":
            return Database(_sqlite_engine(parsed))
        case "postgresql":
            return Database(_postgresql_engine(parsed))
        case other:
            raise UserError(f"[database] url names {other!r}; Sendproof knows sqlite and postgresql.")


def check_sqlite_version(version: tuple[int, ...], text: str) -> None:
    """Raise UserError for a SQLite that may lose commits when several processes share one file."""
    if version < _SQLITE_FIXED:
        wanted = ".".join(map(str, _SQLITE_FIXED))
        raise UserError(
            f"the SQLite library in use is {text}, which can lose commits when several processes write (fixed in "
            f"{wanted}); install the pysqlite3 package of requirements.lock."
        )


def _sqlite_engine(url: sqlalchemy.engine.URL) -> Engine:
    check_sqlite_version(sqlite_driver.sqlite_version_info, sqlite_driver.sqlite_version)
    if url.query:
        raise UserError("[database] url: a SQLite URL takes no options after a question mark.")
    if not url.database or url.database == ":memory:":
        raise UserError("[database] url names no file; several processes need one.")
    if not Path(url.database).parent.is_dir():
        raise UserError(f"the folder of the database {url.database} does not exist; make it first.")
    engine = sqlalchemy.create_engine(url.set(drivername="sqlite"), module=sqlite_driver)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:  # a DB-API connection has no type
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MILLISECONDS}")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql_engine(url: sqlalchemy.engine.URL) -> Engine:
    return sqlalchemy.create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,
        connect_args={
            "options": _POSTGRESQL_OPTIONS,
            "connect_timeout": 5,
            "prepare_threshold": None,  # PgBouncer in transaction mode
        },
    )
