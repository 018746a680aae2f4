"""Whether a database fits together: every row that names another finds it. Changes nothing.

SQLite and PostgreSQL keep to foreign keys themselves, but not between partitions, and not when a disk lies.
"""

from collections.abc import Sequence

from sqlalchemy import ForeignKey, exists, func, select, text
from sqlalchemy.orm import Session

from sendproof_core.backups import Show
from sendproof_core.database import Database
from sendproof_core.schema import Base

# Between partitions: what is of another day may have gone before, and readers take it for not known.
_MAY_BE_GONE = {"queue_files.message_id", "attempts.delivery_id"}


def problems(database: Database, show: Show) -> Sequence[str]:
    """What does not fit, in words; every table is read. Of one moment, also while others write."""
    found = []
    with database.reading() as session:
        if database.engine.dialect.name == "sqlite":
            damage = str(session.scalar(text("PRAGMA integrity_check(1)")))
            if damage != "ok":
                return [f"SQLite finds it damaged ({damage})"]
        tables = Base.metadata.sorted_tables
        for number, table in enumerate(tables):
            show(number, len(tables), table.name)
            for key in sorted(table.foreign_keys, key=lambda key: key.parent.name):
                if f"{table.name}.{key.parent.name}" in _MAY_BE_GONE and session.get_bind().dialect.name != "sqlite":
                    continue
                orphans = _orphans(session, key)
                if orphans:
                    target = key.column.table.name
                    found.append(f"{orphans:,} rows of {table.name} name a row of {target} that is not there")
        show(len(tables), len(tables), "")
    return found


def _orphans(session: Session, key: ForeignKey) -> int:
    named = key.column.table.alias()
    is_there = exists().where(named.c[key.column.name] == key.parent)
    query = select(func.count()).select_from(key.parent.table).where(key.parent.is_not(None), ~is_there)
    return int(session.scalar(query) or 0)
