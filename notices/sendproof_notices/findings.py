"""What there is to tell of messages: recipients that were not reached, wait, or were reached, and opens. Reads only.

A notice never causes a notice: what came from our own address, from nobody (a bounce, an answering machine), went to
our own address, or is a notice that somebody's server sent on, is left alone, so that two machines cannot write to each
other for ever.
"""

import datetime as dt
import uuid
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, case, cast, func, literal, or_, select
from sqlalchemy import String as SqlString
from sqlalchemy.orm import Session, aliased

from sendproof_core import record_days, record_ids
from sendproof_core.links import CONTINUES
from sendproof_core.notice_choices import DEFERRED_AFTER_MINUTES
from sendproof_core.queue_file_parents import is_parent
from sendproof_core.schema import (
    Account,
    Message,
    Notice,
    NoticeItem,
    NoticePreferences,
    Open,
    QueueFile,
    Recipient,
)
from sendproof_core.states import Digest, NoticeKind, NoticeState, RecipientState
from sendproof_core.transcripts import MACHINE

# What is older is no news. It gets into the record when old logs are read, or when a reader was down for long.
NEWS = dt.timedelta(days=3)
# A little longer than Postfix keeps a message (maximal_queue_lifetime).
_FOLLOWED_UP = dt.timedelta(days=7)
_PAGE = 500
_FAILED_STATES = (RecipientState.BOUNCED, RecipientState.EXPIRED)


@dataclass(frozen=True)
class Finding:
    """One thing to tell, and whom. ``key``: the same whenever it is found; ``waits``: it may wait for a digest."""

    key: str
    kind: NoticeKind
    account_id: int
    to_address: str
    waits: bool
    message_id: uuid.UUID | None = None
    recipient_id: int | None = None
    data: dict[str, Any] = field(default_factory=dict)


def find(session: Session, from_address: str, now: dt.datetime, since: dt.datetime) -> Iterator[Finding]:
    """Everything about messages that is new, in the order of the record.

    ``from_address``: where notices come from; ``since``: what changed before is not looked at.
    """
    since = max(since, now - NEWS)
    own = from_address.lower()
    yield from _in_state(session, own, NoticeKind.FAILED, since)
    yield from _deferred(session, own, now)
    yield from _in_state(session, own, NoticeKind.DELIVERED, since)
    yield from _follow_ups(session, own, now)
    yield from _opens(session, own, since)


def recipient_key(recipient_id: int, kind: NoticeKind) -> str:
    """Of a recipient's item."""
    return f"recipient:{recipient_id}:{kind}"


# --- recipients -----------------------------------------------------------------------------------------------------


def _recipients(
    own: str, kind: NoticeKind, days: Collection[int] = (), *, with_parents: bool = True
) -> Select[*tuple[Any, ...]]:
    """Recipients without an item of that kind, with the message that they belong to and who sent it.

    A queue file that a content filter gave back, that an alias leads to, or that another edge took over, has no message
    of its own: its parent has. ``days``: what comes from elsewhere is not looked for (`record_ids.file_day`).
    """
    parent, grandparent = aliased(QueueFile), aliased(QueueFile)
    key = "recipient:" + cast(Recipient.id, SqlString) + f":{kind}"
    is_message = [Message.id == QueueFile.message_id]
    is_its_parent, is_grandparent = [_goes_on(parent, QueueFile)], [_goes_on(grandparent, parent)]
    if with_parents:
        is_message = [Message.id == func.coalesce(QueueFile.message_id, parent.message_id, grandparent.message_id)]
    if days and 0 not in days:
        first, end = max(min(days) - record_days.LONGEST_LIFE_DAYS, 1), max(days) + 2
        is_message += [
            Message.id >= record_days.first_message_id(max(first - 1, 1)),
            Message.id < record_days.first_message_id(end),
        ]
        span = record_days.first_id(first), record_days.first_id(end)
        is_its_parent.append(record_ids.is_within(parent, *span))
        is_grandparent.append(record_ids.is_within(grandparent, *span))
    query = (
        select(
            Recipient.id,
            Recipient.state_at,
            Message.id.label("message_id"),
            Account.id.label("account_id"),
            Account.notice_address,
            _digest().label("digest"),
        )
        .select_from(Recipient)
        .join(QueueFile, QueueFile.id == Recipient.queue_file_id)
    )
    if with_parents:
        query = query.outerjoin(parent, and_(*is_its_parent)).outerjoin(grandparent, and_(*is_grandparent))
    return (
        query.join(Message, and_(*is_message))
        .join(Account, Account.id == Message.account_id)
        .outerjoin(NoticePreferences, NoticePreferences.account_id == Account.id)
        .outerjoin(NoticeItem, NoticeItem.key == key)
        .where(
            NoticeItem.id.is_(None),
            Recipient.handed_on_at.is_(None),
            func.lower(Recipient.address) != own,
            func.lower(func.coalesce(Recipient.final_address, "")) != own,
            *_is_told(own),
        )
        .order_by(Recipient.state_at, Recipient.id)
    )


def _goes_on(parent: Any, child: Any) -> ColumnElement[bool]:
    return and_(child.message_id.is_(None), child.link_kind.in_(CONTINUES), is_parent(parent, child))


def _is_told(own: str) -> tuple[ColumnElement[bool], ...]:
    """Of a message and its account: that somebody is told about it at all."""
    notice = aliased(Notice)
    return (
        func.lower(Message.envelope_sender).not_in(("", own)),
        func.lower(Account.notice_address).not_in(("", own)),
        Message.test_mode.is_(False),
        ~select(notice.id).where(notice.message_id_header == Message.message_id_header).exists(),
    )


def _digest() -> ColumnElement[str]:
    return func.coalesce(NoticePreferences.digest, Digest.NONE.value)


def _in_state(session: Session, own: str, kind: NoticeKind, since: dt.datetime) -> Iterator[Finding]:
    failed = kind is NoticeKind.FAILED
    wanted = (
        func.coalesce(NoticePreferences.failed, True) if failed else func.coalesce(NoticePreferences.delivered, False)
    )
    states = _FAILED_STATES if failed else (RecipientState.DELIVERED,)
    is_new = _is_new(session, states, since)
    for row in _found(session, own, kind, is_new, lambda query: query.where(wanted.is_(True))):
        yield _of_recipient(row, kind, waits=not failed)


def _is_new(session: Session, states: Collection[RecipientState], since: dt.datetime) -> ColumnElement[bool]:
    """Of a `Recipient`: it came into one of these states since then."""
    is_new = and_(Recipient.state.in_(states), Recipient.state_at > since)
    if not _is_in_days(session):
        return is_new
    first = record_days.first_id(max(record_days.day_number(since) - record_days.LONGEST_LIFE_DAYS, 1))
    return and_(is_new, record_ids.is_id_within(Recipient.queue_file_id, first, record_ids.LAST_ID))


def _is_in_days(session: Session) -> bool:
    """Whether the record lies in partitions (`partitions`)."""
    return session.get_bind().dialect.name == "postgresql"


def _deferred(session: Session, own: str, now: dt.datetime) -> Iterator[Finding]:
    minutes = func.coalesce(NoticePreferences.deferred_after_minutes, DEFERRED_AFTER_MINUTES)
    # The two kinds of databases reckon with times in different ways: so one condition for each delay that is in use.
    delays = {DEFERRED_AFTER_MINUTES, *session.scalars(select(NoticePreferences.deferred_after_minutes).distinct())}
    is_long = or_(
        *(and_(minutes == delay, Message.submitted_at <= now - dt.timedelta(minutes=delay)) for delay in sorted(delays))
    )
    is_new = _is_new(session, (RecipientState.DEFERRED,), now - NEWS)
    is_wanted = func.coalesce(NoticePreferences.deferred, True).is_(True)
    for row in _found(session, own, NoticeKind.DEFERRED, is_new, lambda query: query.where(is_wanted, is_long)):
        yield _of_recipient(row, NoticeKind.DEFERRED, waits=True)


def _follow_ups(session: Session, own: str, now: dt.datetime) -> Iterator[Finding]:
    """Who was told that somebody waits is told how it ended, whatever else they want to hear."""
    told, notice = aliased(NoticeItem), aliased(Notice)
    is_told = (
        told.kind == NoticeKind.DEFERRED,
        told.found_at > now - _FOLLOWED_UP,
        notice.state == NoticeState.SENT,
    )
    told_ids = select(told.recipient_id).join(notice, notice.id == told.notice_id).where(*is_told)
    days = {record_days.day_of_id(told_id) for told_id in session.scalars(told_ids) if told_id is not None}
    if not days:
        return

    def of_told(query: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
        joined = query.join(told, told.recipient_id == Recipient.id).join(notice, notice.id == told.notice_id)
        return joined.where(*is_told)

    for kind, states in (
        (NoticeKind.DELIVERED, (RecipientState.DELIVERED,)),
        (NoticeKind.FAILED, _FAILED_STATES),
    ):
        is_new: ColumnElement[bool] = Recipient.state.in_(states)
        if _is_in_days(session):
            is_in_days = record_ids.is_of_days(Recipient.queue_file_id, days)
            is_new = and_(is_new, Recipient.id.in_(told_ids), is_in_days)
        for row in _found(session, own, kind, is_new, of_told):
            yield _of_recipient(row, kind, waits=kind is NoticeKind.DELIVERED)


def _of_recipient(row: Row[*tuple[Any, ...]], kind: NoticeKind, *, waits: bool) -> Finding:
    return Finding(
        recipient_key(row.id, kind),
        kind,
        row.account_id,
        row.notice_address,
        waits and row.digest != Digest.NONE,
        row.message_id,
        row.id,
    )


def _found(
    session: Session,
    own: str,
    kind: NoticeKind,
    is_new: ColumnElement[bool],
    narrow: Callable[[Select[*tuple[Any, ...]]], Select[*tuple[Any, ...]]],
) -> Iterator[Row[*tuple[Any, ...]]]:
    """Rows of `_recipients` that ``narrow`` leaves. ``is_new``: of a `Recipient`, what can be among them at all.

    A join over all days of a year takes PostgreSQL seconds, most of it to find a plan: so it is first asked which days
    are meant, and whether a parent has to be looked for.
    """
    if not _is_in_days(session):
        yield from _pages(session, narrow(_recipients(own, kind).where(is_new)))
        return
    days = session.scalars(select(record_ids.file_day(Recipient.queue_file_id)).where(is_new).distinct()).all()
    if not days:
        return
    is_in_days = [record_ids.is_of_days(file_id, days) for file_id in (Recipient.queue_file_id, QueueFile.id)]
    is_continued = (QueueFile.message_id.is_(None), QueueFile.link_kind.in_(CONTINUES))
    continued = (
        select(literal(1))
        .select_from(Recipient)
        .join(QueueFile, QueueFile.id == Recipient.queue_file_id)
        .where(is_new, *is_in_days, *is_continued)
        .limit(1)
    )
    with_parents = session.scalar(continued) is not None
    query = _recipients(own, kind, days, with_parents=with_parents).where(is_new, *is_in_days)
    yield from _pages(session, narrow(query))


def _pages(session: Session, query: Select[*tuple[Any, ...]]) -> Iterator[Row[*tuple[Any, ...]]]:
    """By and by: there may be many, and those who do not want to hear of them are not among them."""
    found: set[int] = set()
    last: Row[*tuple[Any, ...]] | None = None
    while True:
        after = query
        if last is not None:
            same_time = and_(Recipient.state_at == last.state_at, Recipient.id > last.id)
            after = query.where(or_(Recipient.state_at > last.state_at, same_time))
        rows = session.execute(after.limit(_PAGE)).all()
        for row in rows:
            # A short queue id has several lives: a parent may be found twice.
            if row.id not in found:
                found.add(row.id)
                yield row
        if len(rows) < _PAGE:
            return
        last = rows[-1]


# --- opens ----------------------------------------------------------------------------------------------------------


def _opens(session: Session, own: str, since: dt.datetime) -> Iterator[Finding]:
    """The first open of each recipient that does not look like a machine's."""
    # Who has opens recorded wants to hear of them, unless they said otherwise (`notice_choices`).
    wanted = case((NoticePreferences.account_id.is_(None), Account.tracking), else_=NoticePreferences.opened)
    query = (
        select(
            Open.id,
            Open.message_id,
            Open.recipient_number,
            Open.opened_at,
            Open.grade,
            Account.id.label("account_id"),
            Account.notice_address,
            _digest().label("digest"),
        )
        .join(Message, Message.id == Open.message_id)
        .join(Account, Account.id == Message.account_id)
        .outerjoin(NoticePreferences, NoticePreferences.account_id == Account.id)
        .where(wanted.is_(True), Open.opened_at > since, Open.grade != MACHINE, *_is_told(own))
        .order_by(Open.opened_at, Open.id)
    )
    if _is_in_days(session):
        # The oldest message among them: where it lies and later, not in all days.
        ids = select(Open.message_id).where(Open.opened_at > since, Open.grade != MACHINE)
        oldest = session.scalar(ids.order_by(Open.message_id).limit(1))
        if oldest is None:
            return
        query = query.where(Message.id >= oldest)
    first: dict[str, Finding] = {}
    for row in session.execute(query):
        key = f"opened:{row.message_id}:{row.recipient_number}"
        if key not in first:
            data = {"number": row.recipient_number, "at": row.opened_at.isoformat(), "grade": row.grade}
            waits = row.digest != Digest.NONE
            first[key] = Finding(
                key, NoticeKind.OPENED, row.account_id, row.notice_address, waits, row.message_id, None, data
            )
    keys = list(first)
    for begin in range(0, len(keys), _PAGE):
        some = keys[begin : begin + _PAGE]
        known = set(session.scalars(select(NoticeItem.key).where(NoticeItem.key.in_(some))))
        yield from (first[key] for key in some if key not in known)
