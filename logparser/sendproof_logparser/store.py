"""The record's rows and the reading positions: one transaction for each batch, or nothing of it.

The only SQL of the logparser. Decides nothing: `queue_file` says what changes do. A batch that cannot be stored as a
whole is stored line by line inside the same transaction, and a line that still cannot becomes an unknown line.
"""

import datetime as dt
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import Table, bindparam, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

from sendproof_core.database import Database
from sendproof_core.errors import UserError
from sendproof_core.identity import QueueFileKey
from sendproof_core.journal_records import Admitted, Copied
from sendproof_core.schema import (
    Attempt,
    Base,
    Delivery,
    Message,
    Open,
    OpenConversation,
    QueueFile,
    ReadingPosition,
    Recipient,
    Refusal,
    UnknownLine,
)
from sendproof_core.states import RecipientState
from sendproof_logparser import record_rows
from sendproof_logparser.grammar import Disposition
from sendproof_logparser.position import Position
from sendproof_logparser.queue_file import QueueFileCopy, QueueFiles, RecipientCopy
from sendproof_logparser.transcript import (
    Attempted,
    Change,
    DeliveryKey,
    ProcessKey,
    QueueFileDisposed,
    QueueFileFacts,
)

# Of values in one IN (...): far below SQLite's 32,766 and PostgreSQL's 65,535.
_AT_A_TIME = 1_000
# Nothing was heard of a recipient for this much longer than Postfix keeps trying.
_SILENCE = dt.timedelta(days=1)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Line:
    """What one line says: changes, or nothing that any rule knows (``is_unknown``)."""

    source: str
    offset: int
    raw: bytes
    changes: Sequence[Change] = ()
    is_unknown: bool = False


@dataclass(frozen=True)
class SourceProgress:
    """Where a source's next line is, and how many lines of it were read before and are read now."""

    source: str
    position: Position
    lines_before: int
    lines_read: int


@dataclass(frozen=True)
class Batch:
    """What one round of reading gives. ``conversations``: those touched; None: ended."""

    now: dt.datetime
    lines: list[Line]
    # What the conversations still open have learned since their status lines
    closing_changes: list[Change] = field(default_factory=list)
    conversations: dict[ProcessKey, dict[str, Any] | None] = field(default_factory=dict)
    progress: list[SourceProgress] = field(default_factory=list)


@dataclass(frozen=True)
class StoredPosition:
    """A source's row."""

    position: Position
    lines_read: int


class DatabaseAway(Exception):
    """The database cannot be written now: locked, full or gone. Trying later may help; nothing was written."""


class Store:
    """One logparser's part of the record."""

    def __init__(self, database: Database, reader: str) -> None:
        """``reader``: this machine's name, which tells our open conversations from other machines'."""
        self._database = database
        self._reader = reader
        self._delivery_ids: dict[DeliveryKey, int] = {}

    def load_position(self, source: str) -> StoredPosition | None:
        """How far a source was read; None if never."""
        with self._database.reading() as session:
            row = session.get(ReadingPosition, source)
            if row is None:
                return None
            position = Position(row.fingerprint, row.fingerprint_octets, row.inode, row.offset)
            return StoredPosition(position, row.lines_read)

    def load_conversations(self) -> dict[ProcessKey, dict[str, Any]]:
        """The conversations that were open at the last commit."""
        found = {}
        with self._database.reading() as session:
            for row in session.scalars(select(OpenConversation)):
                if row.state.get("reader") != self._reader:
                    continue
                process = ProcessKey(row.host, row.service, row.pid)
                found[process] = row.state["conversation"]
                if row.state["delivery_id"] is not None:
                    key = DeliveryKey(process, row.state["conversation"]["number"])
                    self._delivery_ids[key] = row.state["delivery_id"]
        return found

    def write(self, batch: Batch) -> None:
        """Store a batch: all of it, or nothing.

        Raises:
            DatabaseAway: try again later with the same batch.
            UserError: another logparser reads the same source.
        """
        try:
            try:
                delivery_ids = self._write(batch, _apply_together)
            except (SQLAlchemyError, ValueError, OverflowError) as error:
                if _is_away(error):
                    raise
                _log.warning("event=batch-refused error=%s action=line-by-line", type(error).__name__)
                delivery_ids = self._write(batch, _apply_one_by_one)
        except (OperationalError, InterfaceError) as error:
            raise DatabaseAway(str(error.orig)) from error
        # Of each process, only the conversation that it is still in can grow.
        ended = {process: state["number"] if state else None for process, state in batch.conversations.items()}
        self._delivery_ids = {
            key: row_id for key, row_id in delivery_ids.items() if ended.get(key.process, key.number) == key.number
        }

    def mark_read_up_to(self, sources: Sequence[str], at: dt.datetime) -> None:
        """Say that everything that was in these sources at that time has been read.

        Raises:
            DatabaseAway: try again later.
        """
        read = update(ReadingPosition).where(ReadingPosition.source.in_(sources)).values(read_up_to=at)
        try:
            with self._database.writing_connection() as connection:
                connection.execute(read)
        except (OperationalError, InterfaceError) as error:
            raise DatabaseAway(str(error.orig)) from error

    def mark_silent_as_unknown(self, now: dt.datetime, queue_lifetime_seconds: int) -> int:
        """Say `unknown` of recipients of whom nothing was heard for too long; how many.

        Only to be called when everything that is there was read.
        """
        before = now - dt.timedelta(seconds=queue_lifetime_seconds) - _SILENCE
        ours = select(QueueFile.id).where(QueueFile.host == self._reader)
        silent = (
            update(Recipient)
            .where(Recipient.state.in_([RecipientState.QUEUED, RecipientState.DEFERRED]))
            .where(Recipient.state_at < before)
            .where(Recipient.queue_file_id.in_(ours))
            .values(state=RecipientState.UNKNOWN, state_at=now)
        )
        try:
            with self._database.writing_connection() as connection:
                return connection.execute(silent).rowcount
        except (OperationalError, InterfaceError) as error:
            raise DatabaseAway(str(error.orig)) from error

    def _write(self, batch: Batch, apply: "_Apply") -> dict[DeliveryKey, int]:
        """All deliveries' rows that are known afterwards."""
        with self._database.writing_connection() as connection:
            for progress in batch.progress:
                _advance_position(connection, progress, batch.now)
            delivery_ids = apply(connection, batch, self._delivery_ids)
            self._save_conversations(connection, batch, delivery_ids)
        return delivery_ids

    def _save_conversations(self, connection: Connection, batch: Batch, delivery_ids: dict[DeliveryKey, int]) -> None:
        table = _table(OpenConversation)
        keys = [{"b_host": key.host, "b_service": key.service, "b_pid": key.pid} for key in batch.conversations]
        if not keys:
            return
        is_touched = (
            (table.c.host == bindparam("b_host"))
            & (table.c.service == bindparam("b_service"))
            & (table.c.pid == bindparam("b_pid"))
        )
        connection.execute(delete(table).where(is_touched), keys)
        rows = [
            {
                "host": key.host,
                "service": key.service,
                "pid": key.pid,
                "state": {
                    "reader": self._reader,
                    "delivery_id": delivery_ids.get(DeliveryKey(key, state["number"])),
                    "conversation": state,
                },
                "changed_at": dt.datetime.fromisoformat(state["changed_at"]),
            }
            for key, state in batch.conversations.items()
            if state is not None
        ]
        _insert(connection, table, rows)


# PostgreSQL's classes of errors that pass by themselves (its Appendix A): connection, rollback, resources, lock, end.
_PASSING = ("08", "40", "53", "55", "57")


def _is_away(error: Exception) -> bool:
    """Whether the database cannot work now; else it refuses what a line says.

    A value too long for an index is an OperationalError as well: tried again for ever, it would stop the record.
    """
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    code = getattr(error.orig, "sqlstate", None)
    return code is None or str(code).startswith(_PASSING)


_Apply = Callable[[Connection, Batch, dict[DeliveryKey, int]], dict[DeliveryKey, int]]


def _apply_together(
    connection: Connection, batch: Batch, delivery_ids: dict[DeliveryKey, int]
) -> dict[DeliveryKey, int]:
    changes = [change for line in batch.lines for change in line.changes]
    changes += batch.closing_changes
    _insert(
        connection,
        _table(UnknownLine),
        [
            record_rows.unknown_line(line.source, line.offset, line.raw, batch.now)
            for line in batch.lines
            if line.is_unknown
        ],
    )
    return _apply(connection, changes, delivery_ids)


def _apply_one_by_one(
    connection: Connection, batch: Batch, delivery_ids: dict[DeliveryKey, int]
) -> dict[DeliveryKey, int]:
    for line in [*batch.lines, Line("", 0, b"", batch.closing_changes)]:
        try:
            with connection.begin_nested():
                delivery_ids = _apply(connection, line.changes, delivery_ids)
                if line.is_unknown:
                    _insert(
                        connection,
                        _table(UnknownLine),
                        [record_rows.unknown_line(line.source, line.offset, line.raw, batch.now)],
                    )
        except (SQLAlchemyError, ValueError, OverflowError) as error:
            if _is_away(error):
                raise
            _log.warning(
                "event=line-refused source=%s offset=%d error=%s", line.source, line.offset, type(error).__name__
            )
            with connection.begin_nested():
                _insert(
                    connection,
                    _table(UnknownLine),
                    [record_rows.unknown_line(line.source, line.offset, line.raw, batch.now)],
                )
    return delivery_ids


def _apply(
    connection: Connection, changes: Sequence[Change], delivery_ids: dict[DeliveryKey, int]
) -> dict[DeliveryKey, int]:
    """Load what the changes are about, let them happen, save it; all deliveries' rows that are known afterwards."""
    if not changes:
        return delivery_ids
    queue_files = QueueFiles(_load(connection, changes))
    for change in changes:
        queue_files.apply(change)
    _insert_messages(connection, queue_files.admitted)
    _save_queue_files(connection, queue_files.all())
    copied = {record.message_id: record_rows.copied(record) for record in queue_files.copied}
    _update(connection, _table(Message), list(copied.values()))
    delivery_ids = _save_deliveries(connection, queue_files, delivery_ids)
    _insert(
        connection, _table(Attempt), [record_rows.attempt(*attempt, delivery_ids) for attempt in queue_files.attempts]
    )
    _insert(
        connection,
        _table(Refusal),
        [_fitted(_table(Refusal), record_rows.refusal(record)) for record in queue_files.refused],
    )
    _insert(
        connection, _table(Open), [_fitted(_table(Open), record_rows.opened(record)) for record in queue_files.opened]
    )
    return delivery_ids


def _load(connection: Connection, changes: Sequence[Change]) -> list[QueueFileCopy]:
    wanted = {(key.host, key.queue_id) for key in map(_key_of, changes) if key is not None}
    table, recipients = _table(QueueFile), _table(Recipient)
    found: dict[int, QueueFileCopy] = {}
    for queue_ids in _portions(sorted({queue_id for _, queue_id in wanted})):
        for row in connection.execute(select(table).where(table.c.queue_id.in_(queue_ids))):
            if (row.host, row.queue_id) in wanted:
                found[row.id] = _queue_file_copy(row)
    for ids in _portions(list(found)):
        rows = connection.execute(
            select(recipients).where(recipients.c.queue_file_id.in_(ids)).order_by(recipients.c.id)
        )
        for row in rows:
            copy = RecipientCopy(
                row.id,
                row.address,
                row.final_address,
                row.number,
                RecipientState(row.state),
                row.state_at,
                changed=False,
            )
            found[row.queue_file_id].restore(copy)
    return list(found.values())


def _key_of(change: Change) -> QueueFileKey | None:
    match change:
        case Attempted() | QueueFileFacts() | QueueFileDisposed():
            return change.key
        case Admitted() | Copied():
            return QueueFileKey(change.host, "", change.queue_id)
        case _:
            return None


def _queue_file_copy(row: Any) -> QueueFileCopy:  # a Row's columns have no static types
    return QueueFileCopy(
        id=row.id,
        key=QueueFileKey(row.host, row.instance, row.queue_id),
        disposition=Disposition(row.disposition) if row.disposition else None,
        changed=False,
        **{name: getattr(row, name) for name in record_rows.COPIED},
    )


def _insert_messages(connection: Connection, admitted: list[Admitted]) -> None:
    """A journal line that is read again finds its message there."""
    if not admitted:
        return
    table = _table(Message)
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    rows = [
        _fitted(table, record_rows.message(record))
        for record in {record.message_id: record for record in admitted}.values()
    ]
    connection.execute(dialect.insert(table).on_conflict_do_nothing(index_elements=[table.c.id]), rows)


def _save_queue_files(connection: Connection, queue_files: list[QueueFileCopy]) -> None:
    table, recipients = _table(QueueFile), _table(Recipient)
    new = [queue_file for queue_file in queue_files if queue_file.id is None]
    changed = [queue_file for queue_file in queue_files if queue_file.changed and queue_file.id is not None]
    _update(
        connection, table, [{"b_id": queue_file.id, **record_rows.queue_file(queue_file)} for queue_file in changed]
    )
    ids = _insert_numbered(
        connection,
        table,
        [record_rows.queue_file(queue_file) for queue_file in new],
        "host",
        "instance",
        "queue_id",
        "born_at",
    )
    for queue_file, row_id in zip(new, ids, strict=True):
        queue_file.id = row_id

    pairs = [(file, recipient) for file in queue_files for recipient in file.recipients if recipient.changed]
    known = [
        {"b_id": recipient.id, **record_rows.recipient(file, recipient)}
        for file, recipient in pairs
        if recipient.id is not None
    ]
    _update(connection, recipients, known)
    unknown = [(file, recipient) for file, recipient in pairs if recipient.id is None]
    ids = _insert_numbered(
        connection, recipients, [record_rows.recipient(*pair) for pair in unknown], "queue_file_id", "address"
    )
    for (_, recipient), row_id in zip(unknown, ids, strict=True):
        recipient.id = row_id


def _save_deliveries(
    connection: Connection, queue_files: QueueFiles, delivery_ids: dict[DeliveryKey, int]
) -> dict[DeliveryKey, int]:
    table = _table(Delivery)
    known = [state for key, state in queue_files.deliveries.items() if key in delivery_ids]
    _update(
        connection,
        table,
        [{"b_id": delivery_ids[state.delivery], **record_rows.conversation(state)} for state in known],
    )
    new = [
        (state, queue_files.queue_file_of[key])
        for key, state in queue_files.deliveries.items()
        if key not in delivery_ids and key in queue_files.queue_file_of
    ]
    ids = _insert_numbered(connection, table, [record_rows.delivery(state, queue_file) for state, queue_file in new])
    return delivery_ids | {state.delivery: row_id for (state, _), row_id in zip(new, ids, strict=True)}


def _advance_position(connection: Connection, progress: SourceProgress, now: dt.datetime) -> None:
    """Compare and set: two readers of one source would double its rows."""
    table = _table(ReadingPosition)
    values = {
        "fingerprint": progress.position.fingerprint,
        "fingerprint_octets": progress.position.fingerprint_octets,
        "inode": progress.position.inode,
        "offset": progress.position.offset,
        "lines_read": progress.lines_before + progress.lines_read,
        "read_at": now,
    }
    mine = (table.c.source == progress.source) & (table.c.lines_read == progress.lines_before)
    if connection.execute(update(table).where(mine).values(values)).rowcount == 1:
        return
    taken = connection.execute(select(table.c.lines_read).where(table.c.source == progress.source)).scalar()
    if taken is not None:
        raise UserError(f"another logparser reads {progress.source}; end one of the two.")
    connection.execute(insert(table).values(source=progress.source, **values))


def _table(kind: type[Base]) -> Table:
    table = kind.__table__
    assert isinstance(table, Table)  # noqa: S101 - every class of ours is mapped to a table of its own
    return table


def _fitted(table: Table, values: dict[str, Any]) -> dict[str, Any]:
    """Cut what clients chose to the columns' lengths: PostgreSQL refuses longer text."""
    lengths = {column.name: getattr(column.type, "length", None) for column in table.columns}
    return {
        name: value[: lengths[name]] if isinstance(value, str) and lengths[name] else value
        for name, value in values.items()
    }


def _insert(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(insert(table), rows)


def _insert_numbered(connection: Connection, table: Table, rows: Sequence[dict[str, Any]], *key: str) -> list[int]:
    """Insert, and return the new ids in the same order.

    ``key``: columns that tell the rows apart. Without any the database is asked to keep the order, which on SQLite
    means one statement for each row.
    """
    if not rows:
        return []
    if not key:
        statement = insert(table).returning(table.c.id, sort_by_parameter_order=True)
        return [int(row_id) for row_id in connection.execute(statement, rows).scalars()]
    returned = connection.execute(insert(table).returning(table.c.id, *(table.c[name] for name in key)), rows)
    ids = {tuple(values): int(row_id) for row_id, *values in returned}
    return [ids[tuple(row[name] for name in key)] for row in rows]


def _update(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Update by id; each row has the same columns and its id as ``b_id``."""
    if rows:
        columns: dict[str, Any] = {name: bindparam(name) for name in rows[0] if name != "b_id"}
        connection.execute(update(table).where(table.c.id == bindparam("b_id")).values(columns), rows)


_Item = TypeVar("_Item")


def _portions(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    for begin in range(0, len(items), _AT_A_TIME):
        yield items[begin : begin + _AT_A_TIME]
