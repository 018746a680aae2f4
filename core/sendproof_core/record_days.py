"""The day that a row of the record belongs to, and the ids that carry it. Pure: knows no database, asks no clock.

On PostgreSQL the record lies in partitions, one for each day of UTC (`partitions`). So that a row is found by its id
without a look into every day, ids of queue files, recipients, deliveries and refusals begin with the day's number; a
queue file's recipients and deliveries have its day, whenever they came. Ids that were given before that, and those of
SQLite, are small numbers: they carry no day.
"""

import datetime as dt
import uuid
from collections.abc import Collection

# Of a sequence's number, below the day. A day's number has 17 bits until the year 2328: JavaScript counts to 2**53.
_NUMBER_BITS = 36
# So many days a queue file is in the queue at most, time on hold included: where PostgreSQL is not to look into every
# day, what comes out of a queue file is looked for so long after it, and where it comes from, so long before.
LONGEST_LIFE_DAYS = 100
# The first id that carries a day.
FIRST_DATED_ID = 1 << _NUMBER_BITS
_EPOCH = dt.date(1970, 1, 1)
_FIRST_DAY, _LAST_DAY = 1, (dt.date.max - _EPOCH).days - 1
_DAY_MILLISECONDS = 86_400_000
_UUID_TIME_SHIFT = 80  # RFC 9562 section 5.7: the first 48 bits are milliseconds


def day_number(at: dt.datetime) -> int:
    """Of the moment's day of UTC; at least 1, however wrong the clock was."""
    return min(max((at.astimezone(dt.UTC).date() - _EPOCH).days, _FIRST_DAY), _LAST_DAY)


def date_of(day: int) -> dt.date:
    """The reverse."""
    return _EPOCH + dt.timedelta(days=day)


def begin_of(day: int) -> dt.datetime:
    """Its first moment."""
    return dt.datetime.combine(date_of(day), dt.time(), dt.UTC)


def dated_id(day: int, number: int) -> int:
    """The id of a row of that day. ``number``: of a sequence; only its low bits are taken."""
    return day << _NUMBER_BITS | number & FIRST_DATED_ID - 1


def day_of_id(row_id: int) -> int:
    """The day that an id carries; 0: none."""
    return row_id >> _NUMBER_BITS


def first_id(day: int) -> int:
    """The lowest that a row of the day can have."""
    return day << _NUMBER_BITS


def first_message_id(day: int) -> uuid.UUID:
    """The lowest UUIDv7 of the day."""
    return uuid.UUID(int=day * _DAY_MILLISECONDS << _UUID_TIME_SHIFT)


def day_of_message_id(message_id: uuid.UUID) -> int:
    """When it was made, if it is a UUIDv7: any day at all for others."""
    return (message_id.int >> _UUID_TIME_SHIFT) // _DAY_MILLISECONDS


def span_of_ids(row_ids: Collection[int]) -> tuple[int, int] | None:
    """The first and the last day that ids carry; None: some carry none, or there are none."""
    if not row_ids:
        return None
    first, last = day_of_id(min(row_ids)), day_of_id(max(row_ids))
    return (first, last) if first >= _FIRST_DAY and last <= _LAST_DAY else None
