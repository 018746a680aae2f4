"""All that an SQLite database holds, to say what changed; and the database as it was before."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pysqlite3 import dbapi2 as sqlite_driver

Tables = dict[str, list[tuple[Any, ...]]]


def tables_of(path: Path) -> Tables:
    """Every row of every table, as it is stored."""
    with contextlib.closing(sqlite_driver.connect(path)) as connection:
        names = [
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if not name.startswith("sqlite_")
        ]
        return {name: connection.execute(f'SELECT * FROM "{name}"').fetchall() for name in names}  # noqa: S608 - its own


def changes(before: Tables, after: Tables) -> set[str]:
    """The tables whose rows are not the same."""
    return {name for name in before if sorted(before[name], key=repr) != sorted(after[name], key=repr)}


@contextlib.contextmanager
def unchanged_afterwards(path: Path) -> Iterator[None]:
    """Whatever happens in the block, afterwards the file holds what it held; nobody may be reading it then."""
    with (
        contextlib.closing(sqlite_driver.connect(":memory:")) as copy,
        contextlib.closing(sqlite_driver.connect(path)) as original,
    ):
        original.backup(copy)
        try:
            yield
        finally:
            copy.backup(original)
