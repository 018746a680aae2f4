"""PostgreSQL's partitions of the record, one for each day of UTC: made ahead, filled from strays, dropped.

Knows no row's meaning: what is past is `retention`'s matter. On SQLite there are none, and every function here says so.
A partition is made after the pattern of ``..._strays``, the default partition, which holds what has no day yet (an old
log that is imported, a clock that was wrong); ``..._before_YYYYMMDD`` holds what was there before the days.
"""

import datetime as dt
import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection

from sendproof_core import record_days

# A timer runs once a day; so many days it may fail before rows become strays.
AHEAD_DAYS = 14
# A day of these is one thing: foreign keys lead from one to another. Parents before children.
CONVERSATIONS = ("queue_files", "recipients", "deliveries", "attempts")
# By name, with the column that says the day.
KEYS = {
    "messages": "id",
    "refusals": "refused_at",
    "opens": "opened_at",
    "queue_files": "id",
    "recipients": "queue_file_id",
    "deliveries": "id",
    "attempts": "recipient_id",
}
_LOCK_SETTINGS = ("max_locks_per_transaction", "max_connections")
# A partition and its four indexes, for two that look at the same time.
_LOCKS_EACH = 10
_OWN_NAME = re.compile(rf"({'|'.join(KEYS)})_(?:(strays)|(before_)?([0-9]{{8}}))")


@dataclass(frozen=True)
class Partition:
    """One of a table. ``day`` None: strays. ``is_before``: all that is older than the day, which is not in it."""

    table: str
    name: str
    day: int | None
    is_before: bool = False


def of_name(name: str) -> Partition | None:
    """A table's name read as a partition's; None: it is none of ours."""
    found = _OWN_NAME.fullmatch(name)
    if found is None:
        return None
    table, _, before, digits = found.groups()
    if digits is None:
        return Partition(table, name, None)
    try:
        date = dt.datetime.strptime(f"{digits}+0000", "%Y%m%d%z")
    except ValueError:
        return None
    days = (date.date() - record_days.date_of(0)).days
    return Partition(table, name, days, before is not None)


def name_of(table: str, day: int) -> str:
    """Of the partition of one day."""
    return f"{table}_{record_days.date_of(day):%Y%m%d}"


def bound(table: str, day: int) -> int | uuid.UUID | dt.datetime:
    """Where a day begins, in the column that says it."""
    match KEYS[table]:
        case "refused_at" | "opened_at":
            return record_days.begin_of(day)
        case _ if table == "messages":
            return record_days.first_message_id(day)
        case _:
            return record_days.first_id(day)


def existing(connection: Connection) -> tuple[Partition, ...]:
    """All that there are, of every table; none on SQLite, and before schema 0007."""
    if connection.dialect.name != "postgresql":
        return ()
    names = connection.scalars(
        text(
            "SELECT child.relname FROM pg_inherits AS i JOIN pg_class AS child ON child.oid = i.inhrelid"
            " JOIN pg_class AS parent ON parent.oid = i.inhparent"
            " WHERE parent.relname = ANY(:tables) AND pg_table_is_visible(parent.oid) ORDER BY child.relname"
        ),
        {"tables": list(KEYS)},
    )
    return tuple(found for name in names if (found := of_name(name)) is not None)


def missing_days(partitions: Sequence[Partition], now: dt.datetime) -> list[int]:
    """Of today and the days ahead, those that some table has no partition for; none where there are no partitions."""
    if not partitions:
        return []
    today = record_days.day_number(now)
    return [day for day in range(today, today + AHEAD_DAYS + 1) if _tables_without(partitions, day)]


def create_ahead(connection: Connection, now: dt.datetime) -> int:
    """Make the partitions of today and the days ahead, in one transaction; how many days lacked some."""
    days = missing_days(existing(connection), now)
    for day in days:
        create(connection, day)
    return len(days)


def create(connection: Connection, day: int) -> int:
    """Make what a day lacks, with all the strays that belong there; how many rows these were.

    In one transaction: rows that others write meanwhile go either to the strays or to the day, never between.
    """
    _alone(connection)
    tables = _tables_without(existing(connection), day)
    if not tables:
        return 0
    strays = ", ".join(f"{table}_strays" for table in tables)
    connection.exec_driver_sql(f"LOCK TABLE {strays} IN ACCESS EXCLUSIVE MODE")
    moved = 0
    for table in tables:
        name, where = name_of(table, day), _condition(table, day)
        connection.exec_driver_sql(f"CREATE TABLE {name} (LIKE {table}_strays INCLUDING ALL)")
        moved += connection.exec_driver_sql(
            f"INSERT INTO {name} SELECT * FROM {table}_strays WHERE {where}"  # noqa: S608 - our own names and numbers
        ).rowcount
    if moved:
        for table in reversed(tables):
            where = _condition(table, day)
            connection.exec_driver_sql(f"DELETE FROM {table}_strays WHERE {where}")  # noqa: S608 - as above
    for table in tables:
        _refer(connection, table, day)
    for table in tables:
        first, end = _literal(bound(table, day)), _literal(bound(table, day + 1))
        connection.exec_driver_sql(
            f"ALTER TABLE {table} ATTACH PARTITION {name_of(table, day)} FOR VALUES FROM ({first}) TO ({end})"
        )
    return moved


def drop(connection: Connection, partitions: Iterable[Partition]) -> None:
    """Drop these, children before parents; what another machine's timer has dropped meanwhile is passed over."""
    _alone(connection)
    order = list(KEYS)
    for partition in sorted(partitions, key=lambda one: order.index(one.table), reverse=True):
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {partition.name}")


def _alone(connection: Connection) -> None:
    """Until the transaction ends, nobody else makes or drops partitions: every machine has the timer."""
    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('sendproof-partitions'))")


def stray_days(connection: Connection) -> list[int]:
    """Of what is among the strays; days far in the future, and the small ids of no day, too."""
    days: set[int] = set()
    for partition in existing(connection):
        if partition.day is None:
            days.update(_days_in(connection, partition))
    return sorted(days)


def wanted_locks(connection: Connection) -> int | None:
    """What ``max_locks_per_transaction`` should be for so many partitions; None: it is enough.

    A query about no day locks each partition of a table with all its indexes, and several run at once.
    """
    if connection.dialect.name != "postgresql":
        return None
    settings = [int(connection.exec_driver_sql(f"SHOW {name}").scalar() or 0) for name in _LOCK_SETTINGS]
    wanted = -(-_LOCKS_EACH * len(existing(connection)) // settings[1])
    return wanted if settings[0] < wanted else None


def _tables_without(partitions: Sequence[Partition], day: int) -> list[str]:
    there = {
        one.table for one in partitions
        if one.day is not None and (one.day == day if not one.is_before else day < one.day)
    }  # fmt: skip
    return [table for table in KEYS if table not in there]


def _days_in(connection: Connection, partition: Partition) -> Iterator[int]:
    key = KEYS[partition.table]
    first = connection.exec_driver_sql(f"SELECT {key} FROM {partition.name} ORDER BY {key} LIMIT 1").scalar()  # noqa: S608 - as above
    while first is not None:
        day = _day_of(first)
        yield day
        following = _literal(bound(partition.table, day + 1))
        first = connection.exec_driver_sql(
            f"SELECT {key} FROM {partition.name} WHERE {key} >= {following} ORDER BY {key} LIMIT 1"  # noqa: S608 - as above
        ).scalar()


def _day_of(key: Any) -> int:
    if isinstance(key, uuid.UUID):
        return record_days.day_of_message_id(key)
    if isinstance(key, dt.datetime):
        return max(0, (key.astimezone(dt.UTC).date() - record_days.date_of(0)).days)
    return record_days.day_of_id(int(key))


def _refer(connection: Connection, table: str, day: int) -> None:
    """Give it the foreign keys that the strays have among them."""
    keys = connection.scalars(
        text(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE contype = 'f' AND conparentid = 0 AND conrelid = CAST(:strays AS regclass)"
        ),
        {"strays": f"{table}_strays"},
    ).all()
    name = name_of(table, day)
    for key in keys:
        definition = re.sub(r"(\w+)_strays\(", lambda found: f"{name_of(found[1], day)}(", key)
        connection.exec_driver_sql(f"ALTER TABLE {name} ADD {definition}")


def _condition(table: str, day: int) -> str:
    key = KEYS[table]
    return f"{key} >= {_literal(bound(table, day))} AND {key} < {_literal(bound(table, day + 1))}"


def _literal(value: int | uuid.UUID | dt.datetime) -> str:
    return str(value) if isinstance(value, int) else f"'{value}'"
