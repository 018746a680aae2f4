"""The record's rows and the reading positions: one transaction for each batch, or nothing of it.

The only SQL of the logparser that writes. Decides nothing: `queue_file` says what facts do. A batch that cannot be
stored as a whole is stored line by line inside the same transaction, and a line that still cannot becomes an unknown
line.
"""

import contextlib
import datetime as dt
import functools
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from sendproof_core import log_health, record_days
from sendproof_core.database import Database, FixedStatements
from sendproof_core.errors import UserError
from sendproof_core.portions import portions
from sendproof_core.schema import OpenConversation, ReadingPosition, UnknownLine
from sendproof_core.states import RecipientState
from sendproof_logparser.batch import Batch, Gap, Portion, Unknown
from sendproof_logparser.events import SubmissionRefused
from sendproof_logparser.local_relay import LocalRelays
from sendproof_logparser.position import Position
from sendproof_logparser.process import Process
from sendproof_logparser.queue_file import QueueFileCopy, QueueFiles, RecipientCopy, Refusal, Wanted
from sendproof_logparser.queue_id import birth
from sendproof_logparser.record_rows import (
    ATTEMPT_COLUMNS,
    DELIVERY_COLUMNS,
    DELIVERY_GROWS,
    GAP_COLUMNS,
    MESSAGE_COLUMNS,
    OPEN_COLUMNS,
    QUEUE_FILE_COLUMNS,
    RECIPIENT_COLUMNS,
    REFUSAL_COLUMNS,
    UNKNOWN_LINE_COLUMNS,
    Rows,
    address_of,
)
from sendproof_logparser.transcript import Conversation, Conversations, Fact, Note

# Of values in one IN (...).
_AT_A_TIME = 500
# Between the two passes of a milter's refusal: its journal line and Postfix's line of it.
_AT_ONCE = dt.timedelta(minutes=5)
# smtpd and Dovecot both speak of a failed sign-in; smtpd waits a little before it does (smtpd_sasl_service).
_SIGN_IN_LASTS = dt.timedelta(seconds=10)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoredPosition:
    """A source's row."""

    position: Position
    lines_read: int
    last_line_at: dt.datetime | None


@dataclass
class Written:
    """How many rows of which kind a batch has added."""

    rows: int = 0
    attempts: int = 0
    unknown_lines: int = 0


class DatabaseAway(Exception):
    """The database cannot be written now: locked, full or gone. Trying later may help; nothing was written."""


class Store:
    """One logparser's part of the record."""

    def __init__(
        self,
        database: Database,
        reader: str,
        host: str,
        own_addresses: Iterable[str] = (),
        edges: Iterable[str] = (),
    ) -> None:
        """``reader``: whose open conversations are ours: this machine's name, or an import's.

        ``host``: this machine's name. ``own_addresses``, ``edges``: see `LocalRelays`.
        """
        self._database = database
        self._reader = reader
        self._host = host
        self._relays = LocalRelays(own_addresses, edges)

    def load_position(self, source: str) -> StoredPosition | None:
        """How far a source was read; None if never."""
        with self._database.reading() as session:
            row = session.get(ReadingPosition, source)
            if row is None:
                return None
            position = Position(row.fingerprint, row.fingerprint_octets, row.inode, row.offset, row.cursor)
            return StoredPosition(position, row.lines_read, row.last_line_at)

    def load_conversations(
        self, conversations: Conversations, identify: Callable[[str, str, int], Process | None]
    ) -> None:
        """Take up what was open at the last commit."""
        with self._database.reading() as session:
            for row in session.scalars(select(OpenConversation).where(OpenConversation.reader == self._reader)):
                process = identify(row.host, row.service, row.pid)
                if process is not None:
                    conversations.restore(process, row.state["conversation"], row.state["delivery_id"])

    def write(self, batch: Batch) -> Written:
        """Store a batch: all of it, or nothing.

        Raises:
            DatabaseAway: try again later with the same batch.
            UserError: another logparser reads the same source.
        """
        with _reaching():
            try:
                return self._write(batch, line_by_line=False)
            except (SQLAlchemyError, ValueError, OverflowError) as error:
                if _is_away(error):
                    raise
                _log.warning("event=batch-refused error=%s action=line-by-line", type(error).__name__)
                return self._write(batch, line_by_line=True)

    def mark_read_up_to(self, sources: Sequence[str], at: dt.datetime) -> None:
        """Say that everything that was in these sources at that time has been read.

        Raises:
            DatabaseAway: try again later.
        """
        read = update(ReadingPosition).where(ReadingPosition.source.in_(sources)).values(read_up_to=at)
        with self.connection() as connection:
            connection.execute(read)

    def forget_conversations(self) -> None:
        """All was read: nothing of what is open will go on.

        Raises:
            DatabaseAway: try again later.
        """
        with self.connection() as connection:
            connection.execute(delete(OpenConversation).where(OpenConversation.reader == self._reader))

    def begin_source(self, source: str) -> None:
        """It is read from its beginning, perhaps not for the first time: what no rule knew may be known now.

        Raises:
            DatabaseAway: try again later.
        """
        with self.connection() as connection:
            connection.execute(delete(UnknownLine).where(UnknownLine.source == source))

    def forget_source(self, source: str) -> None:
        """It was read to its end, and what it says is known by itself: where reading ended need not be.

        Raises:
            DatabaseAway: try again later.
        """
        with self.connection() as connection:
            connection.execute(delete(ReadingPosition).where(ReadingPosition.source == source))

    @contextlib.contextmanager
    def connection(self) -> Iterator[Connection]:
        """A writing transaction for the statements of `sweep`.

        Raises:
            DatabaseAway: try again later.
        """
        with _reaching(), self._database.writing_connection() as connection:
            yield connection

    @contextlib.contextmanager
    def session(self) -> Iterator[Session]:
        """A writing transaction for `derive`.

        Raises:
            DatabaseAway: try again later.
        """
        with _reaching(), self._database.writing() as session:
            yield session

    def open_recipients(self) -> dict[RecipientState, int]:
        """How many recipients Postfix still has, by state.

        Raises:
            DatabaseAway: try again later.
        """
        with _reaching(), self._database.reading() as session:
            return log_health.count_open(session, self._host)

    def _write(self, batch: Batch, *, line_by_line: bool) -> Written:
        with self._database.fixed_statements() as statements:
            if statements.is_postgresql:
                # An import works on the same queue files; SQLite has one writer anyway.
                statements.rows("SELECT pg_advisory_xact_lock(hashtext(?))", (f"sendproof-record:{self._host}",))
            for portion in batch.portions:
                _advance_position(statements, portion, batch.now)
            writing = _Writing(statements, batch, self._relays)
            if line_by_line:
                writing.each_line()
            else:
                writing.everything()
            writing.states(self._reader)
        for delivery, row_id in writing.delivery_ids.items():
            delivery.row_id = row_id
        return writing.written


# PostgreSQL's classes of errors that pass by themselves (its Appendix A): connection, rollback, resources, lock, end.
_PASSING = ("08", "25P03", "40", "53", "55", "57")


def _is_away(error: Exception) -> bool:
    """Whether the database cannot work now; else it refuses what a line says.

    A value too long for an index is an OperationalError as well: tried again for ever, it would stop the record.
    """
    code = getattr(getattr(error, "orig", None), "sqlstate", None)
    if code is not None:
        return str(code).startswith(_PASSING)
    return isinstance(error, OperationalError | InterfaceError)


@contextlib.contextmanager
def _reaching() -> Iterator[None]:
    """Raise `DatabaseAway` for what passes by itself."""
    try:
        yield
    except DBAPIError as error:
        if not _is_away(error):
            raise
        raise DatabaseAway(str(error.orig)) from error


class _Writing:
    """One batch on its way into the database."""

    def __init__(self, statements: FixedStatements, batch: Batch, relays: LocalRelays) -> None:
        self._statements = statements
        self._batch = batch
        self._relays = relays
        self._rows = Rows(statements)
        self.delivery_ids: dict[Conversation, int] = {}
        self.written = Written()

    def everything(self) -> None:
        """All lines together."""
        batch = self._batch
        wanted = Wanted()
        for portion in batch.portions:
            wanted.add_facts(portion.facts, self._relays)
            wanted.add_notes(portion.notes)
        files = QueueFiles(self._load(wanted, batch.portions), self._relays)
        for portion in batch.portions:
            for note in portion.notes:
                files.note(note)
            files.apply(portion.facts, portion.lines)
        self._save(files)
        self._grown()
        for portion in batch.portions:
            self._unknown(portion, portion.unknown)
            self._gaps(portion, portion.gaps)

    def each_line(self) -> None:
        """Line by line: what the database refuses becomes an unknown line."""
        for portion in self._batch.portions:
            said: dict[int, tuple[list[Note], list[Fact]]] = {}
            for note in portion.notes:
                said.setdefault(note[0], ([], []))[0].append(note)
            for fact in portion.facts:
                said.setdefault(fact[0], ([], []))[1].append(fact)
            for number, (notes, facts) in sorted(said.items()):
                self._or_unknown(portion, number, notes, facts)
            self._unknown(portion, portion.unknown)
            self._gaps(portion, portion.gaps)
        self._grown()

    def _or_unknown(self, portion: Portion, number: int, notes: list[Note], facts: list[Fact]) -> None:
        statements, delivery_ids = self._statements, dict(self.delivery_ids)
        statements.run("SAVEPOINT line", ())
        try:
            wanted = Wanted()
            wanted.add_facts(facts, self._relays)
            wanted.add_notes(notes)
            files = QueueFiles(self._load(wanted, [portion]), self._relays)
            for note in notes:
                files.note(note)
            files.apply(facts, portion.lines)
            self._save(files)
        except (SQLAlchemyError, ValueError, OverflowError) as error:
            if _is_away(error):
                raise
            _log.warning(
                "event=line-refused source=%s offset=%d error=%s",
                portion.source, portion.offset_of(number), type(error).__name__,
            )  # fmt: skip
            statements.run("ROLLBACK TO SAVEPOINT line", ())
            self.delivery_ids = delivery_ids
            self._unknown(portion, [Unknown(number, facts[0][2].daemon if facts else None)])
        statements.run("RELEASE SAVEPOINT line", ())

    def _load(self, wanted: Wanted, portions: Sequence[Portion]) -> list[QueueFileCopy]:
        statements = self._statements
        found: dict[int, QueueFileCopy] = {}
        for column, names in (("queue_id", wanted.queue_ids), ("parent_queue_id", wanted.parents)):
            since = _oldest_day(names, portions) if statements.is_postgresql and names else None
            for row in self._rows_of("queue_files", QUEUE_FILE_COLUMNS, column, sorted(names), since):
                copy = self._queue_file_copy(row)
                if copy.id is not None:
                    found.setdefault(copy.id, copy)
        recipients: dict[int, RecipientCopy] = {}
        for row in self._rows_of("recipients", RECIPIENT_COLUMNS, "queue_file_id", list(found)):
            (
                file_id,
                address,
                final,
                number,
                state,
                state_at,
                handed_on_at,
                suspended_at,
                because,
                suspensions,
                row_id,
            ) = row
            recipient = RecipientCopy(row_id, address, final, number, state, statements.read_moment(state_at))
            recipient.changed = False
            if handed_on_at is not None:
                recipient.handed_on_at = statements.read_moment(handed_on_at)
            if suspensions:
                recipient.suspended_at = statements.read_moment(suspended_at)
                recipient.suspended_because, recipient.suspensions = because, suspensions
            found[file_id].restore(recipient)
            recipients[row_id] = recipient
        columns = ("recipient_id", "attempted_at", "line_key")
        for recipient_id, at, line_key in self._rows_of("attempts", columns, "recipient_id", list(recipients)):
            if line_key is not None:
                recipients[recipient_id].is_new_attempt(statements.read_moment(at), line_key)
        return list(found.values())

    def _rows_of(
        self, table: str, columns: tuple[str, ...], key: str, values: Sequence[Any], since: int | None = None
    ) -> Iterator[Any]:
        """``since``: the day before which none of them was born; PostgreSQL need not look into older partitions."""
        statement = _selection(table, columns, key, is_bounded=since is not None)
        bounds = () if since is None else (record_days.first_id(since), record_days.FIRST_DATED_ID)
        for portion in portions(values, _AT_A_TIME):
            # Always as many values, so that the statement is prepared once.
            padded = [*portion, *[portion[-1]] * (_AT_A_TIME - len(portion))]
            yield from self._statements.rows(statement, [*padded, *bounds])

    def _queue_file_copy(self, row: Any) -> QueueFileCopy:
        statements = self._statements
        values = dict(zip(QUEUE_FILE_COLUMNS, row, strict=True))
        born_at = statements.read_moment(values.pop("born_at"))
        copy = QueueFileCopy.of_row(values.pop("host"), values.pop("instance"), values.pop("queue_id"), born_at)
        for name in ("disposed_at", "removed_at"):
            if values[name] is not None:
                values[name] = statements.read_moment(values[name])
        if values["message_id"] is not None:
            values["message_id"] = statements.read_id(values["message_id"])
        for name, value in values.items():
            if value is not None:
                setattr(copy, name, value)
        copy.changed = False
        return copy

    def _save(self, files: QueueFiles) -> None:
        self._messages(files)
        all_files = files.all()
        self._queue_files(all_files)
        self._recipients(all_files)
        self._deliveries(files)
        self._attempts(files)
        self._refusals(files)
        self._statements.insert("opens", OPEN_COLUMNS, [self._rows.opened(record) for record in files.opened])
        self._note_changes(files, all_files)

    def _note_changes(self, files: QueueFiles, all_files: list[QueueFileCopy]) -> None:
        """What `derive` is to look at."""
        tried = {attempt.recipient.id for attempt in files.attempts}
        changed = [
            file.id for file in all_files
            if file.changed or any(recipient.changed or recipient.id in tried for recipient in file.recipients)
        ]  # fmt: skip
        statements = self._statements
        statements.insert("record_changes", ("queue_file_id",), [(file_id,) for file_id in changed])
        seen = {record.message_id for record in files.copied} | {record.message_id for record in files.opened}
        statements.insert("record_changes", ("message_id",), [(statements.id(one),) for one in seen])

    def _messages(self, files: QueueFiles) -> None:
        if files.admitted:  # a journal line that is read again finds its message there
            marks = ", ".join("?" * len(MESSAGE_COLUMNS))
            self._statements.run_each(
                f"INSERT INTO messages ({', '.join(MESSAGE_COLUMNS)}) VALUES ({marks}) ON CONFLICT (id) DO NOTHING",  # noqa: S608 - our own names
                [self._rows.message(record) for record in files.admitted],
            )
        if files.copied:
            by_message = {record.message_id: self._rows.copied(record) for record in files.copied}
            self._statements.run_each("UPDATE messages SET signatures = ? WHERE id = ?", list(by_message.values()))

    def _queue_files(self, all_files: list[QueueFileCopy]) -> None:
        new = [copy for copy in all_files if copy.id is None]
        known = [self._rows.queue_file(copy, copy.id) for copy in all_files if copy.changed and copy.id is not None]
        if known:
            self._statements.run_each(_update("queue_files", QUEUE_FILE_COLUMNS), known)
        if new:
            rows = []
            days = [record_days.day_number(copy.born_at) for copy in new]
            for copy, number in zip(new, self._statements.numbers("queue_files", days), strict=True):
                copy.id = number
                rows.append(self._rows.queue_file(copy, number))
            self._statements.insert("queue_files", QUEUE_FILE_COLUMNS, rows)
            self.written.rows += len(rows)

    def _recipients(self, all_files: list[QueueFileCopy]) -> None:
        known, new = [], []
        for file in all_files:
            for recipient in file.recipients:
                if recipient.id is None:
                    new.append((recipient, file.id))
                elif recipient.changed:
                    known.append(self._rows.recipient(recipient, file.id or 0, recipient.id))
        if known:
            self._statements.run_each(_UPDATE_RECIPIENT, [(*row[1:-1], row[0], row[-1]) for row in known])
        if new:
            rows = []
            days = [record_days.day_of_id(file_id or 0) for _, file_id in new]
            for (recipient, file_id), number in zip(new, self._statements.numbers("recipients", days), strict=True):
                recipient.id = number
                rows.append(self._rows.recipient(recipient, file_id or 0, number))
            self._statements.insert("recipients", RECIPIENT_COLUMNS, rows)
            self.written.rows += len(rows)

    def _deliveries(self, files: QueueFiles) -> None:
        new = [
            item for item in files.queue_file_of.items()
            if item[0].row_id is None and item[0] not in self.delivery_ids
        ]  # fmt: skip
        if not new:
            return
        rows = []
        days = [record_days.day_of_id(file.id or 0) for _, file in new]
        for (delivery, file), number in zip(new, self._statements.numbers("deliveries", days), strict=True):
            self.delivery_ids[delivery] = number
            rows.append(self._rows.delivery(delivery, file.id or 0, number))
        self._statements.insert("deliveries", DELIVERY_COLUMNS, rows)
        self.written.rows += len(rows)

    def _grown(self) -> None:
        """What was stored before this batch, and has learned more since. New ones were written as they are."""
        rows = [
            self._rows.delivery_growth(delivery, delivery.row_id)
            for delivery in self._batch.grown
            if delivery.row_id is not None
        ]
        if rows:
            self._statements.run_each(_update("deliveries", DELIVERY_GROWS), rows)

    def _attempts(self, files: QueueFiles) -> None:
        rows = []
        for attempt in files.attempts:
            delivery = attempt.delivery
            delivery_id = None
            if delivery is not None:
                delivery_id = delivery.row_id or self.delivery_ids[delivery]
            rows.append(self._rows.attempt(attempt, attempt.recipient.id or 0, delivery_id))
        self._statements.insert("attempts", ATTEMPT_COLUMNS, rows)
        self.written.attempts += len(rows)
        self.written.rows += len(rows)

    def _refusals(self, files: QueueFiles) -> None:
        refusals = [*files.refusals]
        if not refusals and not files.refused:
            return
        statements = self._statements
        changed: list[int] = []
        for record in files.refused:
            # Postfix's own line of it may have been read first.
            said = statements.rows(
                "SELECT id FROM refusals WHERE source = 'postfix' AND reason = 'milter-reject' AND host = ?"
                " AND queue_id = ? AND refused_at BETWEEN ? AND ?",
                (record.host, record.queue_id, *self._around(record.at)),
            )
            if said:
                statements.run_each(
                    "DELETE FROM refusals WHERE id = ? AND refused_at BETWEEN ? AND ?",
                    [(row_id, *self._around(record.at)) for (row_id,) in said],
                )
            changed += [row_id for (row_id,) in said]
        numbers = statements.numbers("refusals", [record_days.day_number(record.at) for record in files.refused])
        rows = [(number, *self._rows.refused(record)) for number, record in zip(numbers, files.refused, strict=True)]
        statements.insert("refusals", ("id", *REFUSAL_COLUMNS), rows)
        changed += numbers
        for refusal in refusals:
            known = self._said(refusal)
            if known is not None:
                changed += known
                continue
            (number,) = statements.numbers("refusals", [record_days.day_number(refusal.at)])
            row = self._rows.refusal(refusal, self._account_of(refusal.event.login))
            marks = ", ".join("?" * (1 + len(REFUSAL_COLUMNS)))
            statements.run(
                f"INSERT INTO refusals (id, {', '.join(REFUSAL_COLUMNS)}) VALUES ({marks})"  # noqa: S608 - our own names
                " ON CONFLICT (refused_at, host, line_key) DO NOTHING",
                (number, *row),
            )
            changed.append(number)
        statements.insert("record_changes", ("refusal_id",), [(row_id,) for row_id in changed])

    def _said(self, refusal: Refusal) -> list[int] | None:
        """Whether another program has said it better: our milter of a message, Dovecot of a sign-in.

        None: nobody has. Else the rows that became better by this one.
        """
        event = refusal.event
        if isinstance(event, SubmissionRefused):
            is_said = event.queue_id is not None and self._milter_said(refusal.host, event.queue_id, refusal.at)
            return [] if is_said else None
        address = address_of(event.client)
        begin, end = (self._statements.moment(refusal.at + delta) for delta in (-_SIGN_IN_LASTS, _SIGN_IN_LASTS))
        others = self._statements.rows(
            "SELECT id, login FROM refusals WHERE source = 'sign-in' AND host = ? AND client_address = ?"
            " AND stage <> ? AND refused_at BETWEEN ? AND ? ORDER BY id",
            (refusal.host, address, refusal.daemon, begin, end),
        )
        if any(not event.login or login == event.login for _, login in others):
            return []
        unnamed = next((row_id for row_id, login in others if not login), None)
        if unnamed is None:
            return None
        login = (event.login or "")[:100]
        self._statements.run(
            "UPDATE refusals SET login = ?, account_id = ? WHERE id = ? AND refused_at BETWEEN ? AND ?",
            (login, self._account_of(login), unnamed, begin, end),
        )
        return [unnamed]

    def _milter_said(self, host: str, queue_id: str, at: dt.datetime) -> bool:
        return bool(
            self._statements.rows(
                "SELECT 1 FROM refusals WHERE source = 'milter' AND host = ? AND queue_id = ?"
                " AND refused_at BETWEEN ? AND ?",
                (host, queue_id, *self._around(at)),
            )
        )

    def _around(self, at: dt.datetime) -> tuple[Any, Any]:
        return self._statements.moment(at - _AT_ONCE), self._statements.moment(at + _AT_ONCE)

    def _account_of(self, login: str | None) -> int | None:
        if not login:
            return None
        found = self._statements.rows("SELECT account_id FROM credentials WHERE login = ?", (login,))
        return found[0][0] if found else None

    def _unknown(self, portion: Portion, unknown: list[Unknown]) -> None:
        self._statements.insert(
            "unknown_lines",
            UNKNOWN_LINE_COLUMNS,
            [
                self._rows.unknown_line(
                    portion.source,
                    portion.offset_of(line.number),
                    portion.raw(line.number) if line.shown is None else line.shown.encode(),
                    self._batch.now,
                    line.daemon,
                )
                for line in unknown
            ],
        )
        self.written.unknown_lines += len(unknown)
        self.written.rows += len(unknown)

    def _gaps(self, portion: Portion, gaps: list[Gap]) -> None:
        marks = ", ".join("?" * len(GAP_COLUMNS))
        for gap in gaps:
            row = self._rows.gap(
                gap.host, portion.source, gap.begins_at, gap.ends_at, gap.lines, gap.text, gap.line_key
            )
            self._statements.run(
                f"INSERT INTO log_gaps ({', '.join(GAP_COLUMNS)}) VALUES ({marks})"  # noqa: S608 - our own names
                " ON CONFLICT (ends_at, host, line_key) DO NOTHING",
                row,
            )

    def states(self, reader: str) -> None:
        """What the reader must know again after a restart."""
        states = self._batch.states
        if not states:
            return
        statements = self._statements
        statements.run_each(
            "DELETE FROM open_conversations WHERE reader = ? AND host = ? AND service = ? AND pid = ?",
            [(reader, process.host, process.program, process.pid) for process in states],
        )
        rows = []
        for process, state in states.items():
            if state is None:
                continue
            delivery_id = None
            if isinstance(state, Conversation):
                delivery_id = state.row_id or self.delivery_ids.get(state)
                state = state.to_plain()  # noqa: PLW2901 - one is the other's form
            changed_at = dt.datetime.fromisoformat(state["changed_at"])
            plain = json.dumps({"delivery_id": delivery_id, "conversation": state})
            rows.append(
                (reader, process.host, process.program, process.pid, plain, self._statements.moment(changed_at))
            )
        columns = ("reader", "host", "service", "pid", "state", "changed_at")
        statements.insert("open_conversations", columns, rows)


def _advance_position(statements: FixedStatements, portion: Portion, now: dt.datetime) -> None:
    """Compare and set: two readers of one source would double its rows."""
    position = portion.chunk.position
    values = (
        position.fingerprint,
        position.fingerprint_octets,
        position.inode,
        position.offset,
        position.cursor,
        portion.lines_before + len(portion.lines),
        statements.moment(now),
        statements.moment(portion.last_line_at) if portion.last_line_at is not None else None,
    )
    columns = (
        "fingerprint", "fingerprint_octets", "inode", '"offset"', "cursor", "lines_read", "read_at", "last_line_at",
    )  # fmt: skip
    changed = statements.run(
        f"UPDATE reading_positions SET {', '.join(f'{name} = ?' for name in columns)}"  # noqa: S608 - our own names
        " WHERE source = ? AND lines_read = ?",
        (*values, portion.source, portion.lines_before),
    )
    if changed == 1:
        return
    if statements.rows("SELECT 1 FROM reading_positions WHERE source = ?", (portion.source,)):
        raise UserError(
            f"another logparser reads {portion.source}, or an older database was put in place of this one;"
            " end the other, and start this one again."
        )
    statements.insert("reading_positions", ("source", *columns), [(portion.source, *values)])


def _oldest_day(queue_ids: Iterable[str], portions: Sequence[Portion]) -> int:
    """The day before which none of these queue files was born, nor anything that comes out of them."""
    births = [birth(name) for name in queue_ids]
    days = [record_days.day_number(born) for born in births if born is not None]
    if len(days) < len(births):
        heard = [fact[1] for portion in portions for fact in portion.facts]
        heard += [record.at for portion in portions for _, record in portion.notes]
        days += [record_days.day_number(min(heard)) - record_days.LONGEST_LIFE_DAYS]
    return max(min(days) - 1, 0)  # another host's clock may be a little behind


@functools.cache
def _selection(table: str, columns: tuple[str, ...], key: str, *, is_bounded: bool) -> str:
    marks = ", ".join("?" * _AT_A_TIME)
    # What is older than the days has ids of no day.
    bounds = " AND (id >= ? OR id < ?)" if is_bounded else ""
    return f"SELECT {', '.join(columns)} FROM {table} WHERE {key} IN ({marks}){bounds} ORDER BY {columns[-1]}"  # noqa: S608 - our own names


@functools.cache
def _update(table: str, columns: tuple[str, ...]) -> str:
    """By id, which is the last of the columns."""
    return f"UPDATE {table} SET {', '.join(f'{name} = ?' for name in columns[:-1])} WHERE id = ?"  # noqa: S608 - as above


# With the column that says the partition. It never changes.
_UPDATE_RECIPIENT = (
    f"UPDATE recipients SET {', '.join(f'{name} = ?' for name in RECIPIENT_COLUMNS[1:-1])}"  # noqa: S608 - as above
    f" WHERE {RECIPIENT_COLUMNS[0]} = ? AND {RECIPIENT_COLUMNS[-1]} = ?"
)
