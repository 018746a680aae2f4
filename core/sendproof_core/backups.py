"""Backup files: where they are put, of which database they are, SQLite's made and read back. PostgreSQL's: `dumps`.

A backup is made beside its place and takes it when it is whole; what stands there already is never overwritten.
"""

import contextlib
import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pysqlite3 import dbapi2 as sqlite_driver

from sendproof_core import schema_version
from sendproof_core.errors import UserError

# How much is done, of how much (None: not known), and with what at the moment.
Show = Callable[[int, int | None, str], None]

SQLITE, POSTGRESQL = "sqlite", "postgresql"
_SIGNATURES = {b"SQLite format 3\0": SQLITE, b"PGDMP": POSTGRESQL}
_SIGNATURE_OCTETS = 16
_PAGES_AT_ONCE = 2000


@contextlib.contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """A file to fill (0600); it becomes ``target`` when the block ends well, else nothing is left.

    Raises:
        UserError: ``target`` exists, its folder does not, or the disk is full.
    """
    if target.exists() or target.is_symlink():
        raise _exists(target)
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent)
    except OSError as error:
        raise UserError(f"{target} cannot be written: {error.strerror}.") from None
    os.close(descriptor)
    made = Path(name)
    try:
        yield made
        _sync(made)
        os.link(made, target)  # unlike a rename, it fails where something is
        _sync(target.parent)
    except FileExistsError:
        raise _exists(target) from None
    except OSError as error:
        raise UserError(f"{target} cannot be written: {error.strerror}; nothing was left there.") from None
    finally:
        made.unlink(missing_ok=True)


def kind_of(file: Path) -> str:
    """Of which database the file is a backup: `SQLITE` or `POSTGRESQL`.

    Raises:
        UserError: of neither, or it cannot be read.
    """
    try:
        with file.open("rb") as opened:
            begin = opened.read(_SIGNATURE_OCTETS)
    except OSError as error:
        raise UserError(f"the backup {file} cannot be read: {error.strerror}.") from None
    for signature, kind in _SIGNATURES.items():
        if begin.startswith(signature):
            return kind
    raise UserError(f"{file} is no backup that `sendproof database backup` made.")


def check_schema(file: Path, revision: str | None) -> str:
    """The revision of a backup's tables.

    Raises:
        UserError: it has none, or one that this program does not know.
    """
    if revision is None:
        raise UserError(f"the backup {file} has no tables of Sendproof.")
    if revision > schema_version.newest():
        raise UserError(
            f"the backup {file} has schema {revision}, newer than this program knows ({schema_version.newest()}); "
            "update Sendproof first."
        )
    return revision


def back_up_sqlite(source: Path, target: Path, show: Show) -> None:
    """Copy a database that is in use; others read and write meanwhile. The copy is one moment of it, and is checked."""
    if not source.exists():
        raise UserError(f"the database {source} does not exist; `sendproof database upgrade` makes it.")
    with new_file(target) as made:
        _copy(source, made, show)
        check_sqlite(made)


def restore_sqlite(file: Path, target: Path, show: Show) -> str:
    """Put a backup where the settings say that the database is; the revision of its schema.

    Raises:
        UserError: there is a database already, or the file is no good one; nothing was changed.
    """
    revision = check_sqlite(file)
    if not _is_empty(target):
        raise UserError(
            f"the database {target} is not empty; stop every program, move it away with its -wal and -shm, "
            "and try again."
        )
    for rest in (target, target.with_name(f"{target.name}-wal"), target.with_name(f"{target.name}-shm")):
        rest.unlink(missing_ok=True)
    with new_file(target) as made:
        _copy(file, made, show)
        check_sqlite(made)
        folder = target.parent.stat()
        if os.geteuid() == 0:  # else the programs could not open what root has restored
            os.chown(made, folder.st_uid, folder.st_gid)
    return revision


def check_sqlite(file: Path) -> str:
    """Read all of a backup; the revision of its schema.

    Raises:
        UserError: it is damaged, or holds what a half transaction would leave.
    """
    with _sqlite(file) as connection:
        damage = connection.execute("PRAGMA integrity_check(1)").fetchall()
        if damage != [("ok",)]:
            raise UserError(f"the backup {file} is damaged: {damage[0][0]}")
        orphan = connection.execute("PRAGMA foreign_key_check").fetchone()
        if orphan is not None:
            raise UserError(f"the backup {file} is damaged: {orphan[0]} names a row of {orphan[2]} that is not there")
        return check_schema(file, _revision(connection))


def _copy(source: Path, target: Path, show: Show) -> None:
    with _sqlite(source) as read, contextlib.closing(sqlite_driver.connect(target, isolation_level=None)) as written:
        # A copy in steps begins anew whenever somebody writes, unless its reader keeps to one moment.
        read.execute("BEGIN")
        read.execute("SELECT count(*) FROM sqlite_master").fetchone()
        octets = read.execute("PRAGMA page_size").fetchone()[0]

        def progress(_status: int, remaining: int, total: int) -> None:
            show((total - remaining) * octets, total * octets, "octets")

        try:
            read.backup(written, pages=_PAGES_AT_ONCE, progress=progress)
            written.execute("PRAGMA journal_mode=DELETE")  # one file, without a write-ahead log beside it
        except sqlite_driver.Error as error:
            raise OSError(errno.EIO, str(error)) from None
        read.execute("ROLLBACK")


@contextlib.contextmanager
def _sqlite(file: Path) -> Iterator[Any]:
    """Opened for reading; the driver has no types."""
    connection = None
    try:
        connection = sqlite_driver.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
        connection.execute("PRAGMA busy_timeout=10000")
        yield connection
    except sqlite_driver.Error as error:
        raise UserError(f"{file} cannot be read as a SQLite database: {error}.") from None
    finally:
        if connection is not None:
            connection.close()


def _revision(connection: Any) -> str | None:
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone() is None:
        return None
    found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(found[0]) if found else None


def _is_empty(database: Path) -> bool:
    if not database.exists() or not database.stat().st_size:
        return True
    with _sqlite(database) as connection:
        return bool(connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,))


def _exists(target: Path) -> UserError:
    return UserError(f"{target} exists already, and nothing was changed; name a file that does not exist.")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
