"""Engine and sessions for SQLite and PostgreSQL. Knows no table.

SQLite is used by several processes at once: WAL, ``BEGIN IMMEDIATE`` for every write (a read transaction that turns
into a write fails at once with SQLITE_BUSY_SNAPSHOT), and a library without the WAL-reset bug (sqlite.org/wal.html,
fixed in 3.51.3), which is why the driver is the ``pysqlite3`` wheel.
"""

import contextlib
import datetime as dt
import functools
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import sqlalchemy
from pysqlite3 import dbapi2 as sqlite_driver
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.pool import PoolProxiedConnection

from sendproof_core import database_url, record_days
from sendproof_core.database_url import Program
from sendproof_core.errors import UserError

_SQLITE_FIXED = (3, 51, 3)
# Without an adapter the driver asks None itself how it wants to be stored, by two exceptions: a NULL would take ten
# times as long as a number. Of an empty dict, `get` says None to everything, and says it in C.
sqlite_driver.register_adapter(type(None), {}.get)
_WRITES = "sendproof_writes"
_BUSY_TIMEOUT_MILLISECONDS = 10_000
# A thread that waits longer for a connection of the pool has met a bug of ours: each thread uses one.
_POOL_TIMEOUT_SECONDS = 10
# On SQLite: ids of a day begin at the day's number times a million, until 2057; so they carry no day (`record_days`).
_ROWS_A_DAY_BITS, _LAST_COUNTED_DAY = 20, 32_000


class FixedStatements(Protocol):
    """A writing transaction that takes SQL texts as they are, ``?`` for each value: for the few that must be fast.

    A text is prepared once for a connection. Values are what the database keeps: numbers, text, bytes, and moments and
    ids as `moment` and `id` give them. Errors are SQLAlchemy's.
    """

    is_postgresql: bool

    def rows(self, sql: str, values: Sequence[Any]) -> Sequence[Sequence[Any]]:
        """What a statement finds; moments and ids in it are good as values again."""

    def run(self, sql: str, values: Sequence[Any]) -> int:
        """How many rows a statement changed."""

    def run_each(self, sql: str, many_values: Sequence[Sequence[Any]]) -> int:
        """A statement for each of several lists of values; how many rows they changed together."""

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Add rows: many at once, in the fastest way that the database has."""

    def numbers(self, table: str, days: Sequence[int]) -> Sequence[int]:
        """An id for each of these days (`record_days`) that no row of the table has; on SQLite none carries its day."""

    def moment(self, value: dt.datetime) -> Any:
        """As a column of `schema.UtcDateTime` keeps it."""

    def read_moment(self, value: Any) -> dt.datetime:
        """The reverse."""

    def id(self, value: uuid.UUID) -> Any:
        """As a column of `sqlalchemy.Uuid` keeps it."""

    def read_id(self, value: Any) -> uuid.UUID:
        """The reverse."""


class Database:
    """An engine with two kinds of transactions. Make one per process, after any fork."""

    def __init__(self, engine: Engine, roles: Mapping[Program, str] | None = None) -> None:
        """``roles``: PostgreSQL's role of each program, where each has one of its own."""
        self.engine = engine
        self.roles = roles
        self._writing = engine.execution_options(**{_WRITES: True})
        if engine.dialect.name == "postgresql":  # SQLite's transactions see one state by themselves
            engine = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._reading = engine
        # SQLite has one writer at a time. Threads of one process that meet in BEGIN IMMEDIATE would sleep for longer
        # and longer; here they go one after the other.
        self._turn = threading.RLock() if engine.dialect.name == "sqlite" else None
        self._held: _SqliteStatements | None = None

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
    def fixed_statements(self) -> Iterator[FixedStatements]:
        """As `writing_connection`, for SQL texts; on SQLite over one connection that is kept for them.

        What is committed survives the death of any process; on SQLite, a power failure may take the last moments of it.
        """
        if self._turn is None:
            with self._writing.begin() as connection:
                yield _PostgresqlStatements(connection)
            return
        with self._taking_turns():
            if self._held is None:
                self._held = _SqliteStatements(self.engine)
            try:
                self._held.run("BEGIN IMMEDIATE", ())
                yield self._held
                self._held.run("COMMIT", ())
            except BaseException:
                self._let_go()  # closing it rolls back; whatever was wrong with it, the next one is new
                raise

    def _let_go(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            held.close()

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
        with self._taking_turns():
            self._let_go()
        self.engine.dispose()


class _SqliteStatements:
    """One connection of the driver, without SQLAlchemy between: a statement takes a tenth of the time."""

    is_postgresql = False

    def __init__(self, engine: Engine) -> None:
        self._dialect = engine.dialect
        try:
            self._connection: PoolProxiedConnection = engine.raw_connection()
        except sqlite_driver.Error as error:  # the pool passes the driver's own errors on
            raise self._translated("connect", error) from error
        self._cursor: Any = self._connection.cursor()  # the driver has no types
        # A commit does not wait for the disk: nothing is torn by a power failure, but the last moments may be gone.
        self._cursor.execute("PRAGMA synchronous=NORMAL")

    def rows(self, sql: str, values: Sequence[Any]) -> Sequence[Sequence[Any]]:
        try:
            found: list[tuple[Any, ...]] = self._cursor.execute(sql, values).fetchall()
        except sqlite_driver.Error as error:
            raise self._translated(sql, error) from error
        return found

    def run(self, sql: str, values: Sequence[Any]) -> int:
        try:
            return int(self._cursor.execute(sql, values).rowcount)
        except sqlite_driver.Error as error:
            raise self._translated(sql, error) from error

    def run_each(self, sql: str, many_values: Sequence[Sequence[Any]]) -> int:
        try:
            return int(self._cursor.executemany(sql, many_values).rowcount)
        except sqlite_driver.Error as error:
            raise self._translated(sql, error) from error

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        if rows:
            self.run_each(_insertion(table, tuple(columns)), rows)

    def numbers(self, table: str, days: Sequence[int]) -> Sequence[int]:
        ((last,),) = self.rows(f"SELECT coalesce(max(id), 0) FROM {table}", ())  # noqa: S608 - our own tables' names
        # Retention may have taken the newest rows: what was named by an id must not be named so again.
        last = max(last, min(max(days, default=0), _LAST_COUNTED_DAY) << _ROWS_A_DAY_BITS)
        return range(last + 1, last + 1 + len(days))

    @staticmethod
    def moment(value: dt.datetime) -> str:
        return value.astimezone(dt.UTC).isoformat(" ", "microseconds")[:26]

    @staticmethod
    def read_moment(value: str) -> dt.datetime:
        return dt.datetime.fromisoformat(value).replace(tzinfo=dt.UTC)

    @staticmethod
    def id(value: uuid.UUID) -> str:
        return value.hex

    @staticmethod
    def read_id(value: str) -> uuid.UUID:
        return uuid.UUID(value)

    def close(self) -> None:
        self._connection.invalidate()  # not back to the pool, where others would find an open transaction
        self._connection.close()

    def _translated(self, sql: str, error: Any) -> BaseException:
        translated: BaseException = DBAPIError.instance(
            sql, None, error, sqlite_driver.Error, hide_parameters=True, dialect=self._dialect
        )
        return translated


class _PostgresqlStatements:
    """A connection of the pool: the round trips take longer than SQLAlchemy."""

    is_postgresql = True

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def rows(self, sql: str, values: Sequence[Any]) -> Sequence[Sequence[Any]]:
        return self._connection.exec_driver_sql(_for_psycopg(sql), tuple(values)).all()

    def run(self, sql: str, values: Sequence[Any]) -> int:
        return self._connection.exec_driver_sql(_for_psycopg(sql), tuple(values)).rowcount

    def run_each(self, sql: str, many_values: Sequence[Sequence[Any]]) -> int:
        all_values = [tuple(values) for values in many_values]
        return self._connection.exec_driver_sql(_for_psycopg(sql), all_values).rowcount

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        if not rows:
            return
        cursor: Any = self._connection.connection.cursor()  # the driver's own: SQLAlchemy has no COPY
        dialect = self._connection.dialect
        try:
            with cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        except dialect.loaded_dbapi.Error as error:
            kind: Any = dialect.loaded_dbapi.Error
            raise DBAPIError.instance(
                f"COPY {table}", None, error, kind, hide_parameters=True, dialect=dialect
            ) from error

    def numbers(self, table: str, days: Sequence[int]) -> Sequence[int]:
        if not days:
            return ()
        numbers = self.rows(
            "SELECT nextval(pg_get_serial_sequence(?, 'id')) FROM generate_series(1, ?)", (table, len(days))
        )
        return [record_days.dated_id(day, number) for day, (number,) in zip(days, numbers, strict=True)]

    @staticmethod
    def moment(value: dt.datetime) -> dt.datetime:
        return value

    @staticmethod
    def read_moment(value: dt.datetime) -> dt.datetime:
        return value.astimezone(dt.UTC)

    @staticmethod
    def id(value: uuid.UUID) -> uuid.UUID:
        return value

    @staticmethod
    def read_id(value: uuid.UUID) -> uuid.UUID:
        return value


@functools.cache
def _insertion(table: str, columns: tuple[str, ...]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608 - as above


@functools.cache
def _for_psycopg(sql: str) -> str:
    return sql.replace("?", "%s")


# PostgreSQL's lock_not_available and deadlock_detected (its Appendix A).
_LOCKED_OUT = frozenset({"55P03", "40P01"})


def is_locked_out(error: DBAPIError) -> bool:
    """Whether others held what a transaction wanted on PostgreSQL, and another try may do."""
    return getattr(error.orig, "sqlstate", None) in _LOCKED_OUT


def open_database(url: str, program: Program = Program.OPERATOR, *, connections: int = 5) -> Database:
    """Connect lazily.

    Args:
        url: `[database] url`, as it stands in the settings.
        program: who connects: the URL may name it.
        connections: how many of the process's threads use the database at once; on PostgreSQL it never has more.

    Raises:
        UserError: the URL cannot be used, or the SQLite library has the WAL-reset bug.
    """
    parsed = database_url.parse(url, program)
    if parsed.get_backend_name() == "sqlite":
        return Database(_sqlite_engine(parsed))
    arguments = database_url.connection_arguments(parsed, program)
    return Database(_postgresql_engine(parsed, arguments, connections), database_url.roles(url))


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
    engine = sqlalchemy.create_engine(url, module=sqlite_driver, hide_parameters=True)

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


def _postgresql_engine(url: sqlalchemy.engine.URL, arguments: dict[str, Any], connections: int) -> Engine:
    return sqlalchemy.create_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=_POOL_TIMEOUT_SECONDS,
        pool_pre_ping=True,
        hide_parameters=True,  # in an error's text, and so in a log: they hold hashes and addresses
        connect_args=arguments,
    )
