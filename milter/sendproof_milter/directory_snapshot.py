"""A copy of the directory on this machine's disk, for when the database is away. Keys stay sealed in it.

An SQLite file of our own that is replaced as a whole: looking one sender up costs no memory, however many there are.
Knows nothing of what its documents say.
"""

import contextlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pysqlite3 import dbapi2 as sqlite_driver

from sendproof_core.errors import UserError

Document = dict[str, Any]


class SnapshotUnusable(Exception):
    """There is no snapshot yet, or the file is damaged."""


class DirectorySnapshot:
    """One snapshot file. One process writes it, any may read it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, documents: Iterable[tuple[str, Document]]) -> int:
        """Replace the snapshot by these named documents, all of them or nothing; how many there are.

        Raises:
            OSError: the disk is full or gone; the old snapshot stays.
        """
        fresh = self._path.with_name(f".{self._path.name}.new")
        fresh.unlink(missing_ok=True)
        fresh.touch(mode=0o600)
        try:
            with contextlib.closing(sqlite_driver.connect(fresh)) as connection:
                connection.execute("PRAGMA journal_mode=OFF")
                connection.execute("CREATE TABLE documents (name TEXT PRIMARY KEY, document TEXT) WITHOUT ROWID")
                connection.executemany(
                    "INSERT INTO documents VALUES (?, ?)",
                    ((name, json.dumps(document)) for name, document in documents),
                )
                (count,) = connection.execute("SELECT count(*) FROM documents").fetchone()
                connection.commit()
        except sqlite_driver.Error as error:
            raise OSError(f"{fresh}: {error}") from error
        with fresh.open("rb") as file:
            os.fsync(file.fileno())
        fresh.replace(self._path)
        return int(count)

    def find(self, name: str) -> Document | None:
        """The document of that name; None if the directory had none.

        Raises:
            SnapshotUnusable: there is nothing to ask.
        """
        try:
            with contextlib.closing(
                sqlite_driver.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True)
            ) as file:
                row = file.execute("SELECT document FROM documents WHERE name = ?", (name,)).fetchone()
        except sqlite_driver.Error as error:
            raise SnapshotUnusable(str(error)) from error
        return json.loads(row[0]) if row else None


def check_folder(path: Path) -> None:
    """Raise UserError unless a snapshot could be written at ``path``."""
    if not path.name or (path.exists() and not path.is_file()):
        raise UserError(f"[milter] snapshot {path} must be a file; name one in a folder of its own.")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise UserError(f"the folder of the snapshot {path} does not exist or is not writable; make it first.")
