"""Of the record's old conversations, those that are not past: what retention must leave. Reads only.

A message, its queue files and what comes out of them stay together: as long as one of them is in the queue, or
something was said of it since the day, none of them is past. These are few; all others are. A message's day is that of
its id.
"""

import uuid
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select
from sqlalchemy.engine import Connection
from sqlalchemy.orm import InstrumentedAttribute

from sendproof_core import record_days
from sendproof_core.log_health import OPEN_STATES
from sendproof_core.schema import QueueFile, Recipient

# Of values in one IN (...).
_AT_A_TIME = 500


@dataclass(frozen=True)
class Kept:
    """What began before the limit and is not past."""

    files: frozenset[int]
    messages: frozenset[uuid.UUID]


def find_kept(connection: Connection, limit: int) -> Kept:
    """What began before the day ``limit`` and is not past: what was heard of since, and all that belongs to it."""
    search = _Family(connection, limit)
    search.take(connection.execute(_columns().where(is_old(connection, limit), _lives(connection, limit))).all())
    first = record_days.first_message_id(limit)
    later = select(QueueFile.message_id).where(QueueFile.message_id < first, ~is_old(connection, limit))
    search.take_messages({found for found in connection.scalars(later.distinct()) if found is not None})
    search.complete()
    return Kept(frozenset(search.files), frozenset(one for one in search.messages if one < first))


def is_old(connection: Connection, limit: int) -> ColumnElement[bool]:
    """Of a `QueueFile`: it was born before that day."""
    before = QueueFile.born_at < record_days.begin_of(limit)
    if connection.dialect.name == "postgresql":
        return and_(before, QueueFile.id < record_days.first_id(limit))
    return before


def _lives(connection: Connection, limit: int) -> ColumnElement[bool]:
    """Of an old `QueueFile`: something was said of it since, or Postfix has it still."""
    begin = record_days.begin_of(limit)
    waits = and_(
        Recipient.state.in_(OPEN_STATES), Recipient.handed_on_at.is_(None), QueueFile.removed_at.is_(None)
    )  # fmt: skip
    its_own = [Recipient.queue_file_id == QueueFile.id]
    if connection.dialect.name == "postgresql":
        its_own.append(Recipient.queue_file_id < record_days.first_id(limit))
    heard = or_(Recipient.state_at >= begin, Recipient.handed_on_at >= begin, waits)
    return or_(QueueFile.removed_at >= begin, QueueFile.disposed_at >= begin, exists().where(*its_own, heard))


def _columns() -> Select[*tuple[Any, ...]]:
    return select(
        QueueFile.id,
        QueueFile.message_id,
        QueueFile.host,
        QueueFile.queue_id,
        QueueFile.parent_queue_id,
        func.coalesce(QueueFile.parent_host, QueueFile.host).label("parent_host"),
    )


class _Family:
    """Queue files of before the limit, with all that belong to them: by message, and by who comes from whom."""

    def __init__(self, connection: Connection, limit: int) -> None:
        self._connection = connection
        self._limit = limit
        self.files: set[int] = set()
        self.messages: set[uuid.UUID] = set()
        self._new_messages: set[uuid.UUID] = set()
        self._names: set[tuple[str, str]] = set()
        self._parents: set[tuple[str, str]] = set()

    def take(self, rows: Collection[Any]) -> None:
        """Some files are kept."""
        for row in rows:
            if row.id in self.files:
                continue
            self.files.add(row.id)
            self._names.add((row.host, row.queue_id))
            if row.parent_queue_id is not None:
                self._parents.add((row.parent_host, row.parent_queue_id))
            if row.message_id is not None:
                self.take_messages({row.message_id})

    def take_messages(self, messages: set[uuid.UUID]) -> None:
        """Some messages are kept."""
        self._new_messages |= messages - self.messages
        self.messages |= messages

    def complete(self) -> None:
        """Until nothing more belongs to it."""
        while self._new_messages or self._names or self._parents:
            messages, self._new_messages = self._new_messages, set()
            names, self._names = self._names, set()
            parents, self._parents = self._parents, set()
            by_id = sorted(messages)
            for begin in range(0, len(by_id), _AT_A_TIME):
                self.take(self._old(QueueFile.message_id.in_(by_id[begin : begin + _AT_A_TIME])))
            for row in self._named(QueueFile.parent_queue_id, names):
                if (row.parent_host, row.parent_queue_id) in names:
                    self.take([row])
            for row in self._named(QueueFile.queue_id, parents):
                if (row.host, row.queue_id) in parents:
                    self.take([row])

    def _named(self, column: InstrumentedAttribute[Any], names: Collection[tuple[str, str]]) -> Iterator[Any]:
        """``names``: host and queue id, of which the host is for the caller to compare."""
        queue_ids = sorted({queue_id for _, queue_id in names})
        for begin in range(0, len(queue_ids), _AT_A_TIME):
            yield from self._old(column.in_(queue_ids[begin : begin + _AT_A_TIME]))

    def _old(self, condition: ColumnElement[bool]) -> Sequence[Any]:
        return self._connection.execute(_columns().where(condition, is_old(self._connection, self._limit))).all()
