"""The ledger in the database: exact under any concurrency. The only writer of its three tables.

``quota_use``, ``charges`` and ``known_recipients``. What stands in a message's way is decided by `plans.over_quota`;
what becomes of a charge, by `reconciliation`.
"""

import datetime as dt
import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy.exc
from sqlalchemy import ColumnElement, and_, exists, func, or_, select
from sqlalchemy.orm import Session

from sendproof_core.addresses import address_digest
from sendproof_core.database import Database, FixedStatements
from sendproof_core.group_commit import GroupCommit
from sendproof_core.plans import OverQuota, QuotaLimits, Use, Windows, over_quota, windows
from sendproof_core.record_ids import file_span, is_id_within
from sendproof_core.schema import Account, Charge, Message, QueueFile, ReadingPosition, Recipient
from sendproof_core.source_names import import_name, source_name
from sendproof_core.states import Span
from sendproof_milter.reconciliation import CHARGES_KEPT, USE_KEPT, LateCharge, OpenCharge, QueueFileSigns, ReadUpTo

# How long a message waits for those before it: as long as for a lock of the database.
_WAIT_SECONDS = 10.0
# In one transaction or statement of the slower kind: nobody who charges waits long for it to end.
_AT_A_TIME = 500
# Old rows that one call deletes at the most, and how often use is looked through.
_FORGOTTEN_AT_ONCE = 20 * _AT_A_TIME
_FORGET_USE_EVERY = dt.timedelta(hours=1)
# The first number of PostgreSQL's advisory locks that mean "the ledger of this account" (the second).
_LOCKED_THING = 0x6C656467

_LOCK = "SELECT pg_advisory_xact_lock(?, account) FROM unnest(?::int[]) AS account"
_FIND = """
SELECT (SELECT count(*) FROM charges WHERE message_id = ?),
    hour.messages, hour.recipients, hour.new_recipients,
    day.messages, day.recipients, day.new_recipients,
    month.messages, month.recipients, month.new_recipients
FROM (SELECT 1) AS one
LEFT JOIN quota_use AS hour ON hour.account_id = ? AND hour.span = 'hour' AND hour.window_begins = ?
LEFT JOIN quota_use AS day ON day.account_id = ? AND day.span = 'day' AND day.window_begins = ?
LEFT JOIN quota_use AS month ON month.account_id = ? AND month.span = 'month' AND month.window_begins = ?
"""
_RAISE = """
INSERT INTO quota_use (account_id, span, window_begins, messages, recipients, new_recipients)
VALUES (?, 'hour', ?, ?, ?, ?), (?, 'day', ?, ?, ?, ?), (?, 'month', ?, ?, ?, ?)
ON CONFLICT (account_id, span, window_begins) DO UPDATE SET
    messages = quota_use.messages + excluded.messages,
    recipients = quota_use.recipients + excluded.recipients,
    new_recipients = quota_use.new_recipients + excluded.new_recipients
"""
_LOWER = """
UPDATE quota_use SET messages = messages - 1, recipients = recipients - ?, new_recipients = new_recipients - ?
WHERE account_id = ? AND span = ? AND window_begins = ?
"""
_CHARGE = """
INSERT INTO charges (message_id, account_id, host, queue_id, recipients, new_recipients,
    hour_begins, day_begins, month_begins, charged_at, settled_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_CHARGED_ACCOUNT = "SELECT account_id FROM charges WHERE message_id = ?"
_UNCHARGE = """
DELETE FROM charges WHERE message_id = ?
RETURNING recipients, new_recipients, hour_begins, day_begins, month_begins
"""
_SETTLE = "UPDATE charges SET settled_at = ? WHERE message_id = ? AND settled_at IS NULL"
_FORGET_CHARGES = f"""
DELETE FROM charges WHERE message_id IN
    (SELECT message_id FROM charges WHERE host = ? AND settled_at < ? LIMIT {_AT_A_TIME})
"""  # noqa: S608 - a number of ours
# Account by account, because that is how the primary key is ordered.
_FORGET_USE = """
DELETE FROM quota_use
WHERE account_id IN (SELECT id FROM accounts) AND span = ? AND window_begins < ?
"""
_KNOW = "INSERT INTO known_recipients (account_id, digest, message_id) VALUES (?, ?, ?)"
_KNOW_NO_MORE = "DELETE FROM known_recipients WHERE message_id = ?"
# One text for each number of addresses, so that few texts are prepared; the last address fills up.
_KNOWN = {
    size: f"SELECT digest FROM known_recipients WHERE account_id = ? AND digest IN ({', '.join('?' * size)})"  # noqa: S608 - question marks
    for size in (1, 10, 100)
}


@dataclass(frozen=True)
class ChargeRequest:
    """One message's charge. ``recipients``: the addresses of RCPT TO; each of them counts, also if given twice."""

    account_id: int
    message_id: uuid.UUID
    host: str
    queue_id: str
    recipients: tuple[str, ...]
    limits: QuotaLimits
    windows: Windows
    now: dt.datetime


@dataclass(frozen=True, slots=True)
class _Entry:
    """A charge that is about to be made. ``digests``: of each address once, in order."""

    account_id: int
    message_id: uuid.UUID
    host: str
    queue_id: str
    recipients: int
    digests: tuple[bytes, ...]
    limits: QuotaLimits
    windows: Windows
    charged_at: dt.datetime
    settled_at: dt.datetime | None = None


class QuotaStore:
    """Charges messages in one database. For all threads of a process: those that charge at once share a commit."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._charging = GroupCommit(self._charge_together)
        self._forgot_use_at: dt.datetime | None = None

    def charge(self, request: ChargeRequest) -> OverQuota | None:
        """Raise every window's use and write the charge, all or nothing; what stands against it, or None.

        Windows without a limit are counted as well, and recipients become known. A message that is charged already is
        not charged again.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database is away or locked; nothing was charged.
        """
        entry = _Entry(
            request.account_id,
            request.message_id,
            request.host,
            request.queue_id,
            len(request.recipients),
            _digests(request.recipients),
            request.limits,
            request.windows,
            request.now,
        )
        try:
            return self._charging.submit(entry, _WAIT_SECONDS)
        except TimeoutError:
            raise sqlalchemy.exc.TimeoutError("other messages were charged all the time") from None

    def uncharge(self, message_id: uuid.UUID) -> bool:
        """Take a charge back, once: for a message that was not let through after all. Whether there was one.

        The addresses that were new to the account with this message are forgotten with it, whoever was mailed since:
        the next message to one of them counts it as new. So each address counts as new at most once among the charges
        that stand, and a message that is not sent makes nobody known.
        """
        return self.uncharge_all([message_id]) == 1

    def uncharge_all(self, message_ids: Iterable[uuid.UUID]) -> int:
        """`uncharge` several messages in one transaction; how many there were."""
        wanted = sorted(message_ids)
        if not wanted:
            return 0
        with self._database.fixed_statements() as statements:
            keys = list(map(statements.id, wanted))
            found = {key: row[0] for key in keys for row in statements.rows(_CHARGED_ACCOUNT, (key,))}
            _lock(statements, found.values())
            return sum(_uncharge(statements, key, account_id) for key, account_id in found.items())

    # --- what `reconciliation.Ledger` asks for ---

    def read_up_to(self, host: str) -> ReadUpTo:
        """How far this host's sources were read; old files that were imported say nothing of that."""
        prefix, imports = source_name(host, ""), import_name(host, "")
        ours = func.substr(ReadingPosition.source, 1, len(prefix)) == prefix
        ours &= func.substr(ReadingPosition.source, 1, len(imports)) != imports
        with self._database.reading() as session:
            moments = session.scalars(select(ReadingPosition.read_up_to).where(ours)).all()
        known = [moment for moment in moments if moment is not None]
        return ReadUpTo(min(known) if known and len(known) == len(moments) else None, max(known, default=None))

    def open_charges(self, host: str, until: dt.datetime, after: OpenCharge | None, limit: int) -> list[OpenCharge]:
        """This host's charges that are not settled, up to ``until``, oldest first; those that follow ``after``."""
        query = (
            select(Charge.message_id, Charge.queue_id, Charge.charged_at)
            .where(Charge.host == host, Charge.settled_at.is_(None), Charge.charged_at <= until)
            .order_by(Charge.charged_at, Charge.message_id)
            .limit(limit)
        )
        if after is not None:
            at_once = and_(Charge.charged_at == after.charged_at, Charge.message_id > after.message_id)
            query = query.where(or_(Charge.charged_at > after.charged_at, at_once))
        with self._database.reading() as session:
            return [OpenCharge(*row) for row in session.execute(query)]

    def signs(self, host: str, charges: Sequence[OpenCharge]) -> list[QueueFileSigns]:
        """The queue files of these messages, and those with these queue ids on this host."""
        columns = (
            QueueFile.queue_id,
            QueueFile.message_id,
            QueueFile.born_at,
            QueueFile.removed_at,
            QueueFile.size_bytes,
            QueueFile.disposition,
        )
        message_ids = [charge.message_id for charge in charges]
        of_messages = select(*columns).where(QueueFile.message_id.in_(message_ids))
        with self._database.reading() as session:
            in_days = _in_days(session, QueueFile.id, message_ids)
            of_messages = of_messages.where(*in_days)
            found = [QueueFileSigns(*row) for row in session.execute(of_messages)]
            queued = {sign.message_id for sign in found if sign.is_queued}
            left = [charge.queue_id for charge in charges if charge.message_id not in queued]
            # Not by host: queue ids are nearly unique, and SQLite would go through all that a host ever had.
            same_ids = select(*columns, QueueFile.host).where(QueueFile.queue_id.in_(left), *in_days)
            rows = session.execute(same_ids).all() if left else []
        return found + [QueueFileSigns(*row[:-1]) for row in rows if row.host == host]

    def settle(self, message_ids: Sequence[uuid.UUID], now: dt.datetime) -> int:
        """Say of charges that they stand; how many were open."""
        if not message_ids:
            return 0
        with self._database.fixed_statements() as statements:
            at = statements.moment(now)
            return statements.run_each(_SETTLE, [(at, statements.id(message_id)) for message_id in sorted(message_ids)])

    def missing_charges(self, host: str, since: dt.datetime) -> list[LateCharge]:
        """Messages that this host's queue manager had since then, and nobody charged.

        Walks along both primary keys, which are in order of time (`identity.new_message_id`).
        """
        since_id = uuid.UUID(int=int(since.timestamp() * 1000) << 80)
        uncharged = select(Message.id).where(
            Message.id >= since_id,
            Message.test_mode.is_(False),
            ~exists().where(Charge.message_id == Message.id),
        )
        with self._database.reading() as session:
            message_ids = session.scalars(uncharged).all()
            found: list[LateCharge] = []
            for begin in range(0, len(message_ids), _AT_A_TIME):
                found += _late_charges(session, host, message_ids[begin : begin + _AT_A_TIME])
        return found

    def charge_late(self, charges: Sequence[LateCharge], now: dt.datetime) -> int:
        """Charge messages without looking at limits, and say that they stand; how many had no charge."""
        charged = 0
        for begin in range(0, len(charges), _AT_A_TIME):
            entries = [_late_entry(charge, now) for charge in charges[begin : begin + _AT_A_TIME]]
            with self._database.fixed_statements() as statements:
                _lock(statements, {entry.account_id for entry in entries})
                ledger = _Ledger(statements)
                for entry in entries:
                    ledger.charge(entry)
                charged += ledger.write()
        return charged

    def forget(self, host: str, now: dt.datetime) -> None:
        """Delete this host's old charges that are settled, and use of windows long ended; known recipients stay."""
        for _ in range(0, _FORGOTTEN_AT_ONCE, _AT_A_TIME):
            with self._database.fixed_statements() as statements:
                if not statements.run(_FORGET_CHARGES, (host, statements.moment(now - CHARGES_KEPT))):
                    break
        if self._forgot_use_at is not None and now - self._forgot_use_at < _FORGET_USE_EVERY:
            return
        with self._database.fixed_statements() as statements:
            for span, longest in _LONGEST.items():
                statements.run(_FORGET_USE, (span.value, statements.moment(now - USE_KEPT - longest)))
        self._forgot_use_at = now

    # ---

    def _charge_together(self, entries: Sequence[_Entry]) -> Sequence[OverQuota | BaseException | None]:
        try:
            with self._database.fixed_statements() as statements:
                return _charge_all(statements, entries)
        except sqlalchemy.exc.OperationalError:
            raise  # locked, full or away: for each of them alone as well
        except Exception:
            if len(entries) == 1:
                raise
        return [self._charge_alone(entry) for entry in entries]

    def _charge_alone(self, entry: _Entry) -> OverQuota | BaseException | None:
        """For one among several of which one has something that the database does not take."""
        try:
            with self._database.fixed_statements() as statements:
                return _charge_all(statements, [entry])[0]
        except Exception as error:  # noqa: BLE001 - raised again by the thread whose message it is
            return error


def _charge_all(statements: FixedStatements, entries: Sequence[_Entry]) -> list[OverQuota | None]:
    _lock(statements, {entry.account_id for entry in entries})
    ledger = _Ledger(statements)
    outcomes = [ledger.charge(entry) for entry in entries]
    ledger.write()
    return outcomes


def _lock(statements: FixedStatements, account_ids: Iterable[int]) -> None:
    """Let nobody else charge these accounts until the end of the transaction.

    SQLite has one writer anyway. On PostgreSQL, what is read here stays true only so; locks of rows would not do,
    because the first charge in a window finds none. Whoever takes several takes them in the same order.
    """
    if statements.is_postgresql:
        statements.rows(_LOCK, (_LOCKED_THING, sorted(set(account_ids))))


_Row = tuple[int, Span, Any]
_NOTHING = Use()
_SPANS = tuple(Span)  # a class of names takes ten times as long to go through
_LONGEST = {Span.HOUR: dt.timedelta(hours=1), Span.DAY: dt.timedelta(days=2), Span.MONTH: dt.timedelta(days=32)}


class _Ledger:
    """What the transaction has read, and what it is about to write: several messages may raise the same rows."""

    def __init__(self, statements: FixedStatements) -> None:
        self._statements = statements
        self._used: dict[_Row, Use] = {}
        self._raised: dict[tuple[_Row, ...], Use] = {}
        self._charges: dict[uuid.UUID, tuple[Any, ...]] = {}
        self._new: dict[tuple[int, bytes], Any] = {}

    def charge(self, entry: _Entry) -> OverQuota | None:
        """Note a message's charge, unless a limit stands in its way."""
        begins = tuple(
            self._statements.moment(window.begins)
            for window in (entry.windows.hour, entry.windows.day, entry.windows.month)
        )
        rows = tuple((entry.account_id, span, begin) for span, begin in zip(_SPANS, begins, strict=True))
        if entry.message_id in self._charges or self._is_charged(entry, rows):
            return None
        new = self._unknown(entry)
        asked = Use(1, entry.recipients, len(new))
        over = over_quota(entry.limits, entry.windows, {row[1]: self._used[row] for row in rows}, asked)
        if over is not None:
            return over
        for row in rows:
            self._used[row] = self._used[row].plus(asked)
        self._raised[rows] = self._raised.get(rows, _NOTHING).plus(asked)
        message_id = self._statements.id(entry.message_id)
        self._new.update(((entry.account_id, digest), message_id) for digest in new)
        self._charges[entry.message_id] = (
            message_id,
            entry.account_id,
            entry.host,
            entry.queue_id,
            entry.recipients,
            len(new),
            *begins,
            self._statements.moment(entry.charged_at),
            None if entry.settled_at is None else self._statements.moment(entry.settled_at),
        )
        return None

    def write(self) -> int:
        """Write what was noted; how many charges."""
        for rows, use in self._raised.items():
            self._statements.run(_RAISE, [value for row in rows for value in (row[0], row[2], *use)])
        if self._charges:
            self._statements.run_each(_CHARGE, list(self._charges.values()))
        if self._new:
            self._statements.run_each(_KNOW, [(*key, message_id) for key, message_id in self._new.items()])
        return len(self._charges)

    def _is_charged(self, entry: _Entry, rows: tuple[_Row, ...]) -> bool:
        """Reads the windows' use in passing."""
        values = [value for row in rows for value in (row[0], row[2])]
        (found,) = self._statements.rows(_FIND, [self._statements.id(entry.message_id), *values])
        for number, row in enumerate(rows):
            if row not in self._used:
                messages, recipients, new_recipients = found[1 + 3 * number : 4 + 3 * number]
                self._used[row] = _NOTHING if messages is None else Use(messages, recipients, new_recipients)
        return bool(found[0])

    def _unknown(self, entry: _Entry) -> list[bytes]:
        """The addresses that the account never mailed."""
        account_id = entry.account_id
        left = [digest for digest in entry.digests if (account_id, digest) not in self._new]
        known: set[bytes] = set()
        begin = 0
        while begin < len(left):
            size = next((size for size in _KNOWN if len(left) - begin <= size), max(_KNOWN))
            some = left[begin : begin + size]
            begin += size
            some += [some[-1]] * (size - len(some))
            known.update(bytes(row[0]) for row in self._statements.rows(_KNOWN[size], [account_id, *some]))
        return [digest for digest in left if digest not in known]


def _uncharge(statements: FixedStatements, message_id: Any, account_id: int) -> bool:
    found = statements.rows(_UNCHARGE, (message_id,))
    for recipients, new_recipients, *begins in found:
        for span, begin in zip(_SPANS, begins, strict=True):
            statements.run(_LOWER, (recipients, new_recipients, account_id, span, begin))
        if new_recipients:
            statements.run(_KNOW_NO_MORE, (message_id,))
    return bool(found)


def _late_charges(session: Session, host: str, message_ids: Sequence[uuid.UUID]) -> list[LateCharge]:
    """Of these messages, those that the queue manager had. A copy for one recipient counts for its message."""
    having = (
        QueueFile.message_id.in_(message_ids),
        QueueFile.host == host,
        QueueFile.size_bytes.is_not(None),
        *_in_days(session, QueueFile.id, message_ids),
    )
    first = select(QueueFile.message_id, func.min(QueueFile.queue_id)).where(*having).group_by(QueueFile.message_id)
    queued = {message_id: queue_id for message_id, queue_id in session.execute(first) if message_id is not None}
    if not queued:
        return []
    addresses: dict[uuid.UUID, list[str]] = {}
    for message_id, address in session.execute(
        select(QueueFile.message_id, Recipient.address)
        .join(Recipient, Recipient.queue_file_id == QueueFile.id)
        .where(
            QueueFile.message_id.in_(queued),
            Recipient.number.is_not(None),
            *_in_days(session, QueueFile.id, queued),
            *_in_days(session, Recipient.queue_file_id, queued),
        )
    ):
        if message_id is not None:
            addresses.setdefault(message_id, []).append(address)
    rows = session.execute(
        select(
            Message.id,
            Message.account_id,
            Message.submitted_at,
            Message.charged_recipients,
            Message.recipient_count,
            Account.time_zone,
        )
        .join(Account, Account.id == Message.account_id)
        .where(Message.id.in_(queued))
        .order_by(Message.id)
    )
    return [
        LateCharge(
            account_id=row.account_id,
            time_zone=row.time_zone,
            message_id=row.id,
            host=host,
            queue_id=queued[row.id],
            recipients=row.charged_recipients or row.recipient_count,
            addresses=tuple(addresses.get(row.id, ())),
            submitted_at=row.submitted_at,
        )
        for row in rows
    ]


def _in_days(session: Session, file_id: Any, message_ids: Collection[uuid.UUID]) -> list[ColumnElement[bool]]:
    """Of a column with ids of queue files: no partition but those in which these messages' can be."""
    if session.get_bind().dialect.name != "postgresql":
        return []
    return [is_id_within(file_id, *file_span(message_ids, []))]


def _late_entry(charge: LateCharge, now: dt.datetime) -> _Entry:
    return _Entry(
        account_id=charge.account_id,
        message_id=charge.message_id,
        host=charge.host,
        queue_id=charge.queue_id,
        recipients=charge.recipients,
        digests=_digests(charge.addresses),
        limits=QuotaLimits(),
        windows=windows(charge.submitted_at, charge.time_zone),
        charged_at=charge.submitted_at,
        settled_at=now,
    )


def _digests(addresses: Iterable[str]) -> tuple[bytes, ...]:
    return tuple(sorted({address_digest(address) for address in addresses}))
