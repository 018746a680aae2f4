"""What follows from the record: links between hosts, words to search by, sums for statistics. Behind the reading.

The reading notes what it has written (``record_changes``); a step takes some of these notes, the newest first, works
out anew what follows from them, and takes the notes away, all in one transaction: killed at any moment, it is done once
and not twice. Several logparsers of one database take turns.
"""

import contextlib
import datetime as dt
import logging
import traceback
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Date, bindparam, delete, func, insert, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from sendproof_core import search_entries, transcript_queries
from sendproof_core.record_ids import is_refusal
from sendproof_core.schema import (
    AcceptanceTime,
    CredentialUse,
    DeliveryDay,
    Message,
    RecordChange,
    Refusal,
    UtcDateTime,
)
from sendproof_core.search_terms import Document
from sendproof_core.transcripts import Outline
from sendproof_logparser import relay_links, statistics_rows
from sendproof_logparser.search_index import Indexed, Known, SearchIndex
from sendproof_logparser.statistics_rows import COLUMNS, Counted
from sendproof_logparser.store import DatabaseAway

# Short transactions: on SQLite, everybody else who writes waits for them.
STEP = 100
# Where nothing else is to be done.
LARGE_STEP = 500
_THINKING_SECONDS = 120
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Changes:
    """Some notes. ``messages``, ``refusals``: what they are about."""

    ids: Sequence[int]
    messages: frozenset[uuid.UUID]
    refusals: frozenset[int]


def step(session: Session, limit: int = STEP) -> int:
    """Derive from the newest notes; how many there were. ``session``: of a transaction that may write."""
    if not _is_our_turn(session):
        return 0
    changes = _changes(session, limit)
    if not changes.ids:
        return 0
    outlines = transcript_queries.load_outlines(session, changes.messages)
    refusals = session.scalars(select(Refusal).where(is_refusal(changes.refusals))).all() if changes.refusals else ()
    index = SearchIndex(session)
    known = index.known(changes.messages, changes.refusals)
    contributions = {outline.message.id: statistics_rows.contribution(outline) for outline in outlines}
    found = [_of_message(outline, contributions[outline.message.id]) for outline in outlines]
    found += [_of_refusal(row) for row in refusals]
    there = {one.key: one for one in found}
    gone = {key for key, before in known.items() if key not in there or not before.is_at(there[key].at)}
    index.remove([known[key].number for key in gone])
    index.put(found, {key: before for key, before in known.items() if key not in gone})
    _sum_up(session, contributions.values(), known.values())
    _note_uses(session, outlines)
    session.execute(delete(RecordChange).where(RecordChange.id.in_(changes.ids)))
    return len(changes.ids)


def run(sessions: Callable[[], contextlib.AbstractContextManager[Session]], limit: int = STEP) -> int:
    """A step in a transaction of its own; how many notes it has taken away.

    What cannot be derived from, by a bug of ours, is logged and left out: it must not stop the rest.

    Raises:
        DatabaseAway: of ``sessions``; try again later.
    """
    try:
        with sessions() as session:
            return step(session, limit)
    except DatabaseAway:
        raise
    except Exception as error:  # noqa: BLE001 - as above
        if limit > 1:
            return run(sessions, 1)
        where = traceback.extract_tb(error.__traceback__)[-1]  # not the message: it may quote a mail
        with sessions() as session:
            change = session.scalar(select(RecordChange).order_by(RecordChange.id.desc()).limit(1))
            if change is None:
                return 0
            _log.error(
                "event=derive-failed queue_file=%s message=%s refusal=%s error=%s at=%s",
                change.queue_file_id, change.message_id, change.refusal_id, type(error).__name__, where,
            )  # fmt: skip
            session.delete(change)
            with contextlib.suppress(SQLAlchemyError), session.begin_nested():
                _enter_bare(session, change.message_id, change.refusal_id)
        return 1


def _enter_bare(session: Session, message_id: uuid.UUID | None, refusal_id: int | None) -> None:
    """Let the account's list have it all the same, which goes by entries (`entry_list`)."""
    document = Document()
    if message_id is not None and (message := session.get(Message, message_id)) is not None:
        document.add_account(message.account_id)
        bare = Indexed(message_id, None, message.submitted_at, document, [])
    elif refusal_id is not None and (refusal := session.scalar(select(Refusal).where(is_refusal([refusal_id])))):
        document.add_account(refusal.account_id)
        bare = Indexed(None, refusal_id, refusal.refused_at, document, [])
    else:
        return
    index = SearchIndex(session)
    if not index.known([message_id] if message_id else [], [refusal_id] if refusal_id else []):
        index.put([bare], {})


def begin_anew(session: Session) -> int:
    """Forget everything that was derived, and note the whole record as changed; how many notes that makes."""
    SearchIndex(session).clear()
    for table in (DeliveryDay, AcceptanceTime, CredentialUse, RecordChange):
        session.execute(delete(table))
    messages = select(Message.id).order_by(Message.submitted_at)
    session.execute(insert(RecordChange).from_select(["message_id"], messages))
    session.execute(insert(RecordChange).from_select(["refusal_id"], select(Refusal.id).order_by(Refusal.refused_at)))
    return count_open(session)


def count_open(session: Session) -> int:
    """How many notes wait."""
    return session.scalar(select(func.count()).select_from(RecordChange)) or 0


def _is_our_turn(session: Session) -> bool:
    if session.get_bind().dialect.name == "sqlite":  # has one writer
        return True
    # Messages to thousands of recipients are thought about between two statements for longer than a session may idle.
    session.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = '{_THINKING_SECONDS}s'"))
    return bool(session.scalar(text("SELECT pg_try_advisory_xact_lock(hashtext('sendproof-derive'))")))


def _changes(session: Session, limit: int) -> _Changes:
    """Some notes. Links between hosts are made first: whose mail a queue file holds depends on them."""
    rows = session.execute(select(RecordChange).order_by(RecordChange.id.desc()).limit(limit)).scalars().all()
    messages = {row.message_id for row in rows if row.message_id is not None}
    file_ids = {row.queue_file_id for row in rows if row.queue_file_id is not None}
    relayed = relay_links.join(session, file_ids) if file_ids else set()
    messages |= transcript_queries.messages_of(session, file_ids | relayed)
    refusals = frozenset(row.refusal_id for row in rows if row.refusal_id is not None)
    return _Changes([row.id for row in rows], frozenset(messages), refusals)


def _of_message(outline: Outline, counted: Counted) -> Indexed:
    message = outline.message
    if not isinstance(message.id, uuid.UUID):
        raise TypeError("an outline is of a message")
    document = search_entries.document_of(outline)
    plain = statistics_rows.to_plain(counted)
    return Indexed(message.id, None, message.submitted_at, document, plain)


def _of_refusal(row: Refusal) -> Indexed:
    return Indexed(None, row.id, row.refused_at, search_entries.document_of_refusal(row), [])


def _sum_up(session: Session, now: Iterable[Counted], before: Iterable[Known]) -> None:
    change: Counted = Counter()
    for counted in now:
        change.update(counted)
    for known in before:
        change.subtract(statistics_rows.of_plain(known.counted))
    days: dict[tuple[dt.date, str], dict[str, Any]] = {}
    times: list[dict[str, Any]] = []
    for place, count in statistics_rows.sorted_items(change):
        if not count:
            continue
        key = {"day": place.day, "domain": place.domain}
        if isinstance(place.what, str):
            days.setdefault((place.day, place.domain), {**key, **dict.fromkeys(COLUMNS, 0)})[place.what] = count
        else:
            times.append({**key, "bucket": place.what, "recipients": count})
    if days:
        session.execute(_ADD_TO_DAY, list(days.values()))
    if times:
        session.execute(_ADD_TO_TIME, times)


_ADD_TO_DAY = text(
    f"INSERT INTO delivery_days (day, domain, {', '.join(COLUMNS)})"  # noqa: S608 - our own names
    f" VALUES (:day, :domain, {', '.join(f':{name}' for name in COLUMNS)}) ON CONFLICT (day, domain) DO UPDATE SET "
    + ", ".join(f"{name} = delivery_days.{name} + excluded.{name}" for name in COLUMNS)
).bindparams(bindparam("day", type_=Date))
_ADD_TO_TIME = text(
    "INSERT INTO acceptance_times (domain, day, bucket, recipients) VALUES (:domain, :day, :bucket, :recipients)"
    " ON CONFLICT (domain, day, bucket) DO UPDATE SET recipients = acceptance_times.recipients + excluded.recipients"
).bindparams(bindparam("day", type_=Date))
_NOTE_USE = text(
    "INSERT INTO credential_uses (login, last_used_at) VALUES (:login, :at) ON CONFLICT (login)"
    " DO UPDATE SET last_used_at = excluded.last_used_at WHERE credential_uses.last_used_at < excluded.last_used_at"
).bindparams(bindparam("at", type_=UtcDateTime))


def _note_uses(session: Session, outlines: Collection[Outline]) -> None:
    """A login's newest message. One that is read late, of an old log, changes nothing."""
    newest: dict[str, dt.datetime] = {}
    for outline in outlines:
        login, at = outline.message.login or "", outline.message.submitted_at
        newest[login] = max(at, newest.get(login, at))
    if newest:
        session.execute(_NOTE_USE, [{"login": login, "at": at} for login, at in sorted(newest.items())])
