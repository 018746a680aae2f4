"""Conditions by id that let PostgreSQL leave out the partitions of other days. Executes nothing.

Recipients lie by their queue file's id, refusals by their moment (`partitions`): a condition on the row's own id alone
would look into every day. Where an id carries no day, as on SQLite, the condition is on the id alone.
"""

import uuid
from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, and_, false, or_

from sendproof_core import record_days
from sendproof_core.schema import Open, Recipient, Refusal

# Beyond any clock: what is no UUIDv7 can have any day.
_FAR = 100_000
LAST_ID = (1 << 63) - 1


def is_refusal(refusal_ids: Collection[int]) -> ColumnElement[bool]:
    """Of a `Refusal`: one of these."""
    is_one = Refusal.id.in_(list(refusal_ids))
    span = record_days.span_of_ids(refusal_ids)
    if span is None:
        return is_one
    first, last = span
    return and_(
        is_one,
        Refusal.refused_at >= record_days.begin_of(first),
        Refusal.refused_at < record_days.begin_of(last + 1),
    )


def is_recipient(recipient_ids: Collection[int]) -> ColumnElement[bool]:
    """Of a `Recipient`: one of these."""
    is_one = Recipient.id.in_(list(recipient_ids))
    span = record_days.span_of_ids(recipient_ids)
    if span is None:
        return is_one
    first, last = span
    file_id = Recipient.queue_file_id
    return and_(is_one, file_id >= record_days.first_id(first), file_id < record_days.first_id(last + 1))


def is_open(message_ids: Collection[uuid.UUID], is_postgresql: bool) -> ColumnElement[bool]:
    """Of an `Open`: of one of these messages. None is older than its message."""
    is_one = Open.message_id.in_(list(message_ids))
    if not is_postgresql or not message_ids:
        return is_one
    return and_(is_one, Open.opened_at >= record_days.begin_of(max(_message_day(min(message_ids)) - 1, 1)))


def file_span(message_ids: Collection[uuid.UUID], file_ids: Collection[int]) -> tuple[int, int]:
    """The first id, and the one after the last, that queue files of these messages, or out of these, can have."""
    days = [_message_day(one) for one in message_ids] + [record_days.day_of_id(one) for one in file_ids]
    if not days or 0 in days:
        return 0, LAST_ID
    return record_days.first_id(min(days) - 1), record_days.first_id(max(days) + 1 + record_days.LONGEST_LIFE_DAYS)


def is_within(file: Any, first: Any, end: Any) -> ColumnElement[bool]:
    """Of a `QueueFile`, or an alias: its id is between these (values or binds), or carries no day."""
    return is_id_within(file.id, first, end)


def is_id_within(file_id: Any, first: Any, end: Any) -> ColumnElement[bool]:
    """The same of a column that refers to a queue file: a join alone tells PostgreSQL nothing about its days."""
    return or_(and_(file_id >= first, file_id < end), file_id < record_days.FIRST_DATED_ID)


def is_of_days(file_id: Any, days: Collection[int]) -> ColumnElement[bool]:
    """Of a queue file's id, or a column that refers to one: it carries one of these days; 0: none.

    For queries that do not name their rows: another one, of the recipients alone, finds the days (`file_day`).
    """
    first_days = sorted(day for day in days if day - 1 not in days)
    last_days = sorted(day for day in days if day + 1 not in days)
    return or_(
        false(),
        *(
            and_(file_id >= record_days.first_id(first), file_id < record_days.first_id(last + 1))
            for first, last in zip(first_days, last_days, strict=True)
        ),
    )


def file_day(file_id: Any) -> ColumnElement[int]:
    """The day that such a column carries, for the database."""
    day: ColumnElement[int] = file_id // record_days.FIRST_DATED_ID
    return day


def _message_day(message_id: uuid.UUID) -> int:
    return min(record_days.day_of_message_id(message_id), _FAR)
