"""What `[database] url` means for one program: its role, the driver's options, libpq's. Connects to nothing.

A URL may name the program, such as ``postgresql+psycopg://sendproof_{program}@db.example.net/sendproof``: each then
signs in with a role of its own, which may write what is its to write (`grants`).
"""

import enum
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy.engine import URL

from sendproof_core.errors import UserError

_PLACE = "{program}"
_ROLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,62}")
# A statement that takes this long on PostgreSQL is in trouble; the milter would rather answer 451.
# jit is for long-running queries (PostgreSQL's manual, "When to JIT?"): ours are many and short.
ROLE_SETTINGS: Mapping[str, str] = {
    "TimeZone": "UTC",  # as PostgreSQL spells it where it keeps it
    "jit": "off",
    "lock_timeout": "10s",
    # None of ours thinks in the middle, but for one that says so: an edge that is cut off keeps its locks no longer.
    "idle_in_transaction_session_timeout": "10s",
}
_CONNECTION: Mapping[str, str | int] = {
    "connect_timeout": 5,
    # A server or a network that is gone without a word: libpq would wait for hours.
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,  # milliseconds
}

# Whose values the driver takes for numbers before libpq sees them.
_NUMBERS = ("port", "connect_timeout")


class Program(enum.StrEnum):
    """Who connects: each is one writer, with one role on PostgreSQL."""

    MILTER = "milter"
    LOGPARSER = "logparser"
    WEB = "web"
    NOTICES = "notices"
    # The `sendproof` command; it owns the tables.
    OPERATOR = "operator"


def parse(url: str, program: Program) -> URL:
    """The URL that a program connects with; no option of it is unknown to the driver.

    Raises:
        UserError: it cannot be used. The text holds no password.
    """
    parsed = _made(url)
    match parsed.get_backend_name():
        case "sqlite":
            _check_sqlite(parsed)
            return parsed.set(drivername="sqlite")
        case "postgresql":
            named = _for_program(parsed.set(drivername="postgresql+psycopg"), program)
            _check_postgresql(named)
            return named
        case other:
            raise UserError(f"[database] url names {other!r}; Sendproof knows sqlite and postgresql.")


def roles(url: str) -> Mapping[Program, str] | None:
    """The role of each program; None: all use the same.

    Raises:
        UserError: it is no URL, or PostgreSQL would want the names quoted everywhere.
    """
    user = _made(url).username or ""
    if _PLACE not in user:
        return None
    names = {program: user.replace(_PLACE, program) for program in Program}
    for name in names.values():
        if not _ROLE.fullmatch(name):
            raise UserError(f"[database] url: {name!r} is no name for a role; use letters, digits and _, 63 at most.")
    return names


def connection_arguments(url: URL, program: Program) -> dict[str, Any]:
    """What the driver is told beside the URL; what the URL says itself stands."""
    ours = {**_CONNECTION, "application_name": f"sendproof-{program}"}
    arguments: dict[str, Any] = {name: value for name, value in ours.items() if name not in url.query}
    own = " ".join(f"-c {name}={value}" for name, value in ROLE_SETTINGS.items())
    theirs = url.query.get("options", "")
    arguments["options"] = f"{own} {theirs}".strip()
    arguments["prepare_threshold"] = None  # PgBouncer in transaction mode
    return arguments


def libpq_options(url: URL) -> dict[str, str]:
    """What a URL of `parse` says, by libpq's names, each once. With its password, if it has one.

    Raises:
        UserError: it cannot be used.
    """
    try:
        _, given = url.get_dialect()().create_connect_args(url)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        raise UserError("[database] url: its hosts and ports are mixed up; write ?host=a:5432&host=b:5432.") from None
    for name, value in given.items():
        if not isinstance(value, str | int):
            raise UserError(f"[database] url: the option {name!r} stands there twice; leave one.")
    options = {name: str(value) for name, value in given.items()}
    for name in _NUMBERS:
        for number in filter(None, options.get(name, "").split(",")):
            if not (number.isascii() and number.isdigit()):
                raise UserError(f"[database] url: the option {name!r} must be a whole number.")
    return options


def _made(url: str) -> URL:
    try:
        return sqlalchemy.engine.make_url(url)
    except (sqlalchemy.exc.ArgumentError, ValueError):  # ValueError: a port that is no number
        raise UserError(
            "[database] url is no database URL, such as sqlite:////var/lib/sendproof/sendproof.db."
        ) from None


def _for_program(url: URL, program: Program) -> URL:
    query = {
        name: value.replace(_PLACE, program) if isinstance(value, str) else value for name, value in url.query.items()
    }
    return url.set(username=url.username and url.username.replace(_PLACE, program), query=query)


def _check_sqlite(url: URL) -> None:
    if url.query:
        raise UserError("[database] url: a SQLite URL takes no options after a question mark.")
    if not url.database or url.database == ":memory:":
        raise UserError("[database] url names no file; several processes need one.")
    if not Path(url.database).parent.is_dir():
        raise UserError(f"the folder of the database {url.database} does not exist; make it first.")


def _check_postgresql(url: URL) -> None:
    try:
        import psycopg
        from psycopg.conninfo import make_conninfo
    except ImportError:
        raise UserError("[database] url names PostgreSQL, whose driver psycopg is not installed.") from None
    for name, value in libpq_options(url).items():
        try:
            make_conninfo(**{name: value})
        except psycopg.Error:
            raise UserError(
                f"[database] url: PostgreSQL knows no option {name!r} with such a value; libpq's are such as sslmode, "
                "passfile and target_session_attrs."
            ) from None
