"""PostgreSQL's backups: runs pg_dump and pg_restore. No password is in an argument or in the environment.

They are of the server's version, or the oldest newer ones: a newer pg_restore sets what an older server does not know.
"""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.orm import Session

from sendproof_core import database_url, schema_version
from sendproof_core.backups import Show, check_schema, new_file
from sendproof_core.database import Database
from sendproof_core.errors import UserError

# Debian's; elsewhere they are on the PATH.
_INSTALLED = Path("/usr/lib/postgresql")
_SERVICE = "sendproof"
# A transaction holds a lock for everything that it makes; PostgreSQL has room for 6,400 unless configured otherwise.
_AT_ONCE = 3000
# "pg_dump: dumping contents of table "public.plans"", "pg_restore: processing data for table "public.plans"".
_TABLE = re.compile(r'pg_\w+: (?:dumping contents of|processing data for) table "(?:public\.)?(?P<name>[^"]+)"')
_TABLE_DATA = re.compile(r"^\d+; \d+ \d+ TABLE DATA ", re.MULTILINE)
_COUNT_TABLES = text("SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
_COUNT_ALL = text("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace")


def back_up(url: URL, database: Database, target: Path, show: Show) -> None:
    """Dump one moment of the database, also while it is written to.

    Raises:
        UserError: the programs are missing or say that it cannot be done; nothing is left.
    """
    with schema_version.reaching(), database.reading() as session:
        total = int(session.scalar(_COUNT_TABLES) or 0)
        version = _version(session)
    with new_file(target) as made:
        arguments = ("--format=custom", "--no-owner", "--no-privileges", "--verbose", f"--file={made}")
        _run(program("pg_dump", version), url, arguments, show, total)
        check(made, target)


def check(file: Path, shown_as: Path | None = None) -> str:
    """Read all of a dump; the revision of its schema.

    Raises:
        UserError: it is damaged or of a newer program.
    """
    name = shown_as or file
    _said("pg_restore", f"--file={os.devnull}", str(file))
    words = _said("pg_restore", "--data-only", "--table=alembic_version", "--file=-", str(file))
    found = re.search(r"^COPY .*alembic_version .*;\n(?P<revision>\w+)\n", words, re.MULTILINE)
    return check_schema(name, found and found["revision"])


def restore(url: URL, database: Database, file: Path, show: Show) -> str:
    """Fill an empty database from a dump, and grant each role what is its; the revision of its schema.

    Raises:
        UserError: the database is not empty, or the dump is no good one, and nothing was changed; or it cannot be
            restored.
    """
    revision = check(file)
    with schema_version.reaching(), database.reading() as session:
        version = _version(session)
        if session.scalar(_COUNT_ALL):
            raise UserError(
                f"the database {url.database} is not empty; make a new one (`createdb --owner={url.username} NAME`), "
                "name it in [database] url, and try again."
            )
    contents = _said("pg_restore", "--list", str(file))
    arguments = ["--exit-on-error", "--no-owner", "--no-privileges", "--verbose", str(file)]
    if contents.count("\n") < _AT_ONCE:
        arguments.insert(0, "--single-transaction")
    try:
        _run(program("pg_restore", version), url, arguments, show, len(_TABLE_DATA.findall(contents)))
    except UserError as error:
        raise UserError(f"{error}; if the database has tables now, drop it and make a new one.") from None
    with database.writing_connection() as connection:
        schema_version.grant(connection, database)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))  # else every query is planned for empty tables
    return revision


def program(name: str, version: int | None = None) -> Path:
    """The oldest program of that name that is for a server of that version; the newest, if there is none or no version.

    Raises:
        UserError: there is no such program.
    """
    found = sorted((float(path.parent.parent.name), path) for path in _INSTALLED.glob(f"*/bin/{name}"))
    if not found:
        elsewhere = shutil.which(name)
        if elsewhere is None:
            raise UserError(f"the program {name} is missing; install the Debian package postgresql-client.")
        return Path(elsewhere)
    fitting = [path for number, path in found if version is not None and number >= version]
    return fitting[0] if fitting else found[-1][1]


def _version(session: Session) -> int:
    """The server's, as in the name of its Debian package."""
    return int(session.scalar(text("SHOW server_version_num")) or 0) // 10_000


def _run(made_by: Path, url: URL, arguments: Sequence[str], show: Show, total: int) -> None:
    done = 0
    last: list[str] = []
    with _connection(url) as (words, environment):
        command = [str(made_by), "--no-password", f"--dbname={words}", *arguments]
        with subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, errors="replace", env=environment, stdin=subprocess.DEVNULL
        ) as process:
            assert process.stderr is not None  # noqa: S101 - it is a pipe
            for line in process.stderr:
                table = _TABLE.match(line)
                if table:
                    show(done, total, table["name"])
                    done += 1
                elif line.strip():
                    last = [*last[-4:], line.strip()]
    if process.returncode != 0:
        raise UserError(f"{made_by.name} failed: {_reason(last)}")
    show(total, total, "")


def _said(name: str, *arguments: str) -> str:
    done = subprocess.run(
        [str(program(name)), *arguments],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env=_environment(),
    )
    if done.returncode != 0:
        raise UserError(f"{arguments[-1]} is damaged: {_reason(done.stderr.splitlines())}")
    return done.stdout


def _reason(lines: Sequence[str]) -> str:
    """What the program says is wrong: its lines that name an error, else the last one."""
    errors = [line for line in lines if "error:" in line or "fatal" in line.lower()]
    return "; ".join(errors) or (lines[-1] if lines else "it does not say why")


@contextlib.contextmanager
def _connection(url: URL) -> Iterator[tuple[str, Mapping[str, str]]]:
    """How libpq's programs reach the database: a service file that nobody else can read holds all of it."""
    options = database_url.libpq_options(url)
    with tempfile.TemporaryDirectory(prefix="sendproof-") as folder:  # 0700
        file = Path(folder) / "service"
        lines = [f"{name}={value}\n" for name, value in options.items()]
        file.touch(mode=0o600)
        file.write_text("".join([f"[{_SERVICE}]\n", *lines]), encoding="utf-8")
        yield f"service={_SERVICE}", {**_environment(), "PGSERVICEFILE": str(file)}


def _environment() -> dict[str, str]:
    """English words, whatever the operator's language is: they are read here."""
    return {**os.environ, "LC_ALL": "C"}
