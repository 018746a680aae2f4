"""The whole record as values that two databases can be compared by: no numbers that a database gave.

Nor places in files. Decides nothing about right or wrong.
"""

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Row, select

from sendproof_core.database import Database
from sendproof_core.schema import (
    Attempt,
    Base,
    Delivery,
    LogGap,
    Message,
    QueueFile,
    Recipient,
    Refusal,
    UnknownLine,
)

_TABLES: tuple[type[Base], ...] = (Message, QueueFile, Recipient, Delivery, Attempt, Refusal, LogGap, UnknownLine)
# Given by the database; where and when something was read; what is made of the line's own octets.
_LEFT_OUT = frozenset(("id", "source", "offset", "read_at", "line_key"))
_DEPENDENT = ("queue_file_id", "recipient_id", "delivery_id")

# As stands before each line of a dialogue (RFC 3339).
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT[\d:]{8}(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")

Values = dict[str, list[str]]


def record_values(database: Database, *, whole_seconds: bool = False) -> Values:
    """Each table's rows in words, sorted.

    ``whole_seconds``: every time is cut to its second, and lines that were kept as they are, are not looked at.
    """
    names: dict[str, dict[int, object]] = {name: {} for name in _DEPENDENT}
    found: Values = {}
    with database.reading() as session:
        for kind in _TABLES:
            table = kind.__table__
            rows = session.execute(select(table)).all()
            found[kind.__tablename__] = sorted(_in_words(row, names, whole_seconds=whole_seconds) for row in rows)
            _remember(kind, rows, names)
    return found


def unlike(one: Values, other: Values, most: int = 5) -> list[str]:
    """What stands in one of them only, a few rows of each table. Empty: they are equal."""
    found = []
    for table, rows in one.items():
        if rows == other[table]:
            continue
        found.append(f"{table}: {len(rows)} rows, and {len(other[table])}")
        for sign, mine, theirs in (("-", rows, other[table]), ("+", other[table], rows)):
            known = set(theirs)
            found += [f"{sign} {row}" for row in mine if row not in known][:most]
    return found


# What a line of a log looks like depends on its form.
_FORMS = frozenset(("line",))


def _in_words(row: Row[Any], names: Mapping[str, Mapping[int, object]], *, whole_seconds: bool) -> str:
    values = {}
    for name, value in row._mapping.items():
        if name in _LEFT_OUT or (whole_seconds and name in _FORMS):
            continue
        named = names[name].get(value, value) if name in names else value
        values[name] = _cut(named) if whole_seconds else named
    return repr(values)


def _remember(kind: type[Base], rows: Iterable[Row[Any]], names: dict[str, dict[int, object]]) -> None:
    """How rows that refer to these are to call them."""
    for row in rows:
        if kind is QueueFile:
            names["queue_file_id"][row.id] = (row.host, row.instance, row.queue_id, row.born_at)
        elif kind is Recipient:
            names["recipient_id"][row.id] = (names["queue_file_id"][row.queue_file_id], row.address)
        elif kind is Delivery:
            names["delivery_id"][row.id] = (row.service, row.pid, row.began_at)


def _cut(value: Any) -> Any:  # whatever a column holds
    if isinstance(value, dt.datetime):
        return value.replace(microsecond=0)
    if isinstance(value, (list, tuple)):
        return [_cut(item) for item in value]
    if isinstance(value, str) and _MOMENT.fullmatch(value):
        return _cut(dt.datetime.fromisoformat(value))
    return value
