"""Removes from the record what is past, and keeps PostgreSQL's partitions ahead of the days. Asks no clock.

What is past: every conversation that began before a day and is not kept (`kept_mail`). Refusals, requests for pixels,
lines that no rule knows and gaps are past when their own day is. Sums by day stay.

On PostgreSQL a day goes by dropping its partitions, unless something in it is not past; such days, and everything on
SQLite, go row by row. Every transaction is short: mail flows meanwhile, and whoever ends this may begin it again.
"""

import contextlib
import datetime as dt
import functools
import time
import typing
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, Select, delete, func, null, or_, select, text, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import InstrumentedAttribute

from sendproof_core import partitions, record_days, search_entries
from sendproof_core.database import Database, is_locked_out
from sendproof_core.errors import UserError
from sendproof_core.kept_mail import Kept, find_kept, is_old
from sendproof_core.partitions import Partition
from sendproof_core.portions import portions
from sendproof_core.schema import (
    Attempt,
    Delivery,
    LogGap,
    Message,
    Open,
    QueueFile,
    Recipient,
    Refusal,
    SearchEntry,
    UnknownLine,
)
from sendproof_core.settings import setting

# Rows in one transaction: on SQLite, everybody else who writes waits for it.
_STEP = 500
# A statement that changes partitions waits for those who read, and everybody else behind it: not for long.
_LOCK_SECONDS = 2
_TRIES = 30
_PAUSE_SECONDS = 1.0
# Who waits for SQLite's lock looks again after a tenth of a second at the latest.
_OTHERS_SECONDS = 0.11

Tell = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class RecordSettings:
    """``[record]``: how long what happened is kept."""

    TABLE: typing.ClassVar = "record"
    keep_days: int = setting(
        "How many days messages, their transcripts and refusals are kept; 0: for ever.",
        default=365, at_least=0, at_most=36_500,
    )  # fmt: skip

    def limit(self, now: dt.datetime) -> int | None:
        """The first day that is kept; None: all are."""
        return max(record_days.day_number(now) - self.keep_days, 1) if self.keep_days else None


@dataclass
class Done:
    """What was done, or would be."""

    days_made: list[int] = field(default_factory=list)
    stray_days: list[int] = field(default_factory=list)
    strays_moved: int = 0
    # By table; each of its days.
    days_dropped: dict[str, list[int]] = field(default_factory=dict)
    # By table: those that went one by one.
    rows_deleted: dict[str, int] = field(default_factory=dict)

    def deleted(self, table: str, rows: int) -> None:
        """Count them."""
        if rows:
            self.rows_deleted[table] = self.rows_deleted.get(table, 0) + rows


def plan(database: Database, settings: RecordSettings, now: dt.datetime) -> Done:
    """What `maintain` would do now; changes nothing."""
    found = Done()
    limit = settings.limit(now)
    with database.engine.connect() as connection:
        there = partitions.existing(connection)
        found.days_made = partitions.missing_days(there, now)
        found.stray_days = [day for day in partitions.stray_days(connection) if _is_movable(day, limit, now)]
        if limit is None:
            return found
        kept = find_kept(connection, limit)
        for partition in _droppable(there, limit, kept):
            found.days_dropped.setdefault(partition.table, []).append(typing.cast("int", partition.day))
        dropped = {name: set(days) for name, days in found.days_dropped.items()}
        for name, past in _past(connection, limit, kept, dropped):
            found.deleted(name, past)
    return found


def maintain(database: Database, settings: RecordSettings, now: dt.datetime, tell: Tell = lambda _: None) -> Done:
    """Make partitions ahead, remove what is past, give strays their days. ``tell``: so many rows or days are done.

    Raises:
        UserError: somebody held a lock for too long; what was done until then stays done.
    """
    done = Done()
    _make_ahead(database, now, done)
    limit = settings.limit(now)
    if limit is not None:
        with database.engine.connect() as connection:
            kept = find_kept(connection, limit)
        _forget_entries(database, limit, kept, done, tell)
        _drop_days(database, limit, kept, done, tell)
        _forget_messages(database, limit, kept, done, tell)
        _forget_files(database, limit, kept, done, tell)
        _forget_rest(database, limit, done, tell)
    _move_strays(database, limit, now, done, tell)
    return done


def _droppable(there: Collection[Partition], limit: int, kept: Kept) -> list[Partition]:
    """Partitions in which everything is past."""
    days_of_files = {record_days.day_of_id(file_id) for file_id in kept.files}
    days_of_messages = {record_days.day_of_message_id(message_id) for message_id in kept.messages}
    found = []
    for one in there:
        if one.day is None or one.is_before or one.day >= limit:
            continue
        if one.table in partitions.CONVERSATIONS and one.day in days_of_files:
            continue
        if one.table == "messages" and one.day in days_of_messages:
            continue
        found.append(one)
    return found


# --- away with it -----------------------------------------------------------------------------------------------------


def _forget_entries(database: Database, limit: int, kept: Kept, done: Done, tell: Tell) -> None:
    """What the search knows of messages and refusals: first, so that it finds nothing that is half gone."""
    last, end = -1, search_entries.first_number(record_days.begin_of(limit))
    first_kept = record_days.first_message_id(limit)
    entries = select(SearchEntry.id, SearchEntry.message_id).where(SearchEntry.id < end)
    while True:
        with _turn(database, after_another=last >= 0) as connection:
            rows = connection.execute(entries.where(SearchEntry.id > last).order_by(SearchEntry.id).limit(_STEP)).all()
            past = [
                row.id for row in rows
                if row.message_id is None or (row.message_id < first_kept and row.message_id not in kept.messages)
            ]  # fmt: skip
            if past:
                column = "rowid" if connection.dialect.name == "sqlite" else "entry_id"
                words = text(f"DELETE FROM search_words WHERE {column} = :number")  # noqa: S608 - one of two names
                connection.execute(words, [{"number": number} for number in past])
                connection.execute(delete(SearchEntry).where(SearchEntry.id.in_(past)))
        done.deleted("search_entries", len(past))
        tell(len(past))
        if len(rows) < _STEP:
            return
        last = rows[-1].id


def _drop_days(database: Database, limit: int, kept: Kept, done: Done, tell: Tell) -> None:
    with database.engine.connect() as connection:
        droppable = _droppable(partitions.existing(connection), limit, kept)
    by_day: dict[int, list[Partition]] = {}
    for partition in droppable:
        by_day.setdefault(partition.day or 0, []).append(partition)
    for day, these in sorted(by_day.items()):
        what = f"drop the partitions of {record_days.date_of(day)}"
        _retried(database, what, functools.partial(partitions.drop, partitions=these))
        for partition in these:
            done.days_dropped.setdefault(partition.table, []).append(day)
        tell(1)


def _forget_messages(database: Database, limit: int, kept: Kept, done: Done, tell: Tell) -> None:
    last, end = uuid.UUID(int=0), record_days.first_message_id(limit)
    old = select(Message.id).where(Message.id < end).order_by(Message.id).limit(_STEP)
    while True:
        with _turn(database, after_another=last.int > 0) as connection:
            ids = connection.scalars(old.where(Message.id >= last)).all()
            past = [one for one in ids if one not in kept.messages]
            if past:
                its_files = select(QueueFile.id).where(QueueFile.message_id.in_(past), is_old(connection, limit))
                _delete_files(connection, connection.scalars(its_files).all(), done)
                done.deleted("messages", connection.execute(delete(Message).where(Message.id.in_(past))).rowcount)
        tell(len(past))
        if len(ids) < _STEP:
            return
        last = uuid.UUID(int=ids[-1].int + 1)


def _forget_files(database: Database, limit: int, kept: Kept, done: Done, tell: Tell) -> None:
    """Those that no message went with."""
    last = -1
    while True:
        with _turn(database, after_another=last >= 0) as connection:
            old = select(QueueFile.id).where(QueueFile.id > last, is_old(connection, limit))
            ids = connection.scalars(old.order_by(QueueFile.id).limit(_STEP)).all()
            past = [one for one in ids if one not in kept.files]
            _delete_files(connection, past, done)
        tell(len(past))
        if len(ids) < _STEP:
            return
        last = ids[-1]


@contextlib.contextmanager
def _turn(database: Database, *, after_another: bool) -> Iterator[Connection]:
    """A transaction. SQLite's lock goes to whoever happens to ask: after one of ours, others get time to."""
    if after_another and database.engine.dialect.name == "sqlite":
        time.sleep(_OTHERS_SECONDS)
    with database.writing_connection() as connection:
        yield connection


def _delete_files(connection: Connection, file_ids: Sequence[int], done: Done) -> None:
    for some in portions(file_ids, _STEP):
        recipients = connection.scalars(select(Recipient.id).where(Recipient.queue_file_id.in_(some))).all()
        for these in portions(recipients, _STEP):
            gone = connection.execute(delete(Attempt).where(Attempt.recipient_id.in_(these)))
            done.deleted("attempts", gone.rowcount)
        spoken: list[ColumnElement[bool]] = [Delivery.queue_file_id.in_(some)]
        if connection.dialect.name == "sqlite":
            # A process that says little may have spoken of several queue files at once.
            others = Attempt.delivery_id.in_(select(Delivery.id).where(*spoken))
            connection.execute(update(Attempt).where(others).values(delivery_id=null()))
        elif (span := record_days.span_of_ids(some)) is not None:
            spoken += [Delivery.id >= record_days.first_id(span[0]), Delivery.id < record_days.first_id(span[1] + 1)]
        done.deleted("deliveries", connection.execute(delete(Delivery).where(*spoken)).rowcount)
        gone = connection.execute(delete(Recipient).where(Recipient.queue_file_id.in_(some)))
        done.deleted("recipients", gone.rowcount)
        done.deleted("queue_files", connection.execute(delete(QueueFile).where(QueueFile.id.in_(some))).rowcount)


# What is past by its own time. Each with its id.
_MOMENTS: tuple[tuple[InstrumentedAttribute[int], InstrumentedAttribute[dt.datetime]], ...] = (
    (Refusal.id, Refusal.refused_at),
    (Open.id, Open.opened_at),
    (UnknownLine.id, UnknownLine.read_at),
    (LogGap.id, LogGap.ends_at),
)


def _forget_rest(database: Database, limit: int, done: Done, tell: Tell) -> None:
    end = record_days.begin_of(limit)
    for row_id, at in _MOMENTS:
        table = row_id.class_.__tablename__
        gone, is_first = _STEP, True
        while gone == _STEP:
            with _turn(database, after_another=not is_first) as connection:
                ids = connection.scalars(select(row_id).where(at < end).limit(_STEP)).all()
                gone = connection.execute(delete(row_id.class_).where(row_id.in_(ids), at < end)).rowcount if ids else 0
            is_first = False
            done.deleted(table, gone)
            tell(gone)


def _past(connection: Connection, limit: int, kept: Kept, dropped: dict[str, set[int]]) -> Iterator[tuple[str, int]]:
    """How many rows of which table are past, and not in what is dropped."""

    def count(statement: Select[typing.Any]) -> int:
        return connection.scalar(select(func.count()).select_from(statement.subquery())) or 0

    messages = [Message.id < record_days.first_message_id(limit)]
    messages += [
        or_(Message.id < record_days.first_message_id(day), Message.id >= record_days.first_message_id(day + 1))
        for day in dropped.get("messages", ())
    ]
    yield "messages", count(select(Message.id).where(*messages)) - len(kept.messages)
    files = [
        or_(QueueFile.id < record_days.first_id(day), QueueFile.id >= record_days.first_id(day + 1))
        for day in dropped.get("queue_files", ())
    ]
    yield "queue_files", count(select(QueueFile.id).where(is_old(connection, limit), *files)) - len(kept.files)
    for row_id, at in _MOMENTS:
        table = row_id.class_.__tablename__
        others = [
            or_(at < record_days.begin_of(day), at >= record_days.begin_of(day + 1)) for day in dropped.get(table, ())
        ]
        yield table, count(select(row_id).where(at < record_days.begin_of(limit), *others))


# --- partitions -------------------------------------------------------------------------------------------------------


def _make_ahead(database: Database, now: dt.datetime, done: Done) -> None:
    with database.engine.connect() as connection:
        days = partitions.missing_days(partitions.existing(connection), now)
    for day in days:
        _create(database, day, done)
    done.days_made = days


def _move_strays(database: Database, limit: int | None, now: dt.datetime, done: Done, tell: Tell) -> None:
    with database.engine.connect() as connection:
        days = [day for day in partitions.stray_days(connection) if _is_movable(day, limit, now)]
    for day in days:
        _create(database, day, done)
        tell(1)
    done.stray_days = days


def _is_movable(day: int, limit: int | None, now: dt.datetime) -> bool:
    """Not what is past, nor what a clock that was wrong has put far ahead: that waits for its day."""
    return max(limit or 1, 1) <= day <= record_days.day_number(now) + partitions.AHEAD_DAYS


def _create(database: Database, day: int, done: Done) -> None:
    what = f"make the partitions of {record_days.date_of(day)}"
    done.strays_moved += _retried(database, what, functools.partial(partitions.create, day=day))


_Result = typing.TypeVar("_Result")


def _retried(database: Database, what: str, act: Callable[[Connection], _Result]) -> _Result:
    """In a transaction that does not wait long for locks; in another one, after a pause, if it could not have them."""
    for _ in range(_TRIES):
        try:
            with database.writing_connection() as connection:
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'")
                return act(connection)
        except OperationalError as error:
            if not is_locked_out(error):
                raise
        time.sleep(_PAUSE_SECONDS)
    raise UserError(f"cannot {what}: somebody holds a lock on these tables for long; try again later.")
