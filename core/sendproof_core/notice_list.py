"""An account's notices, newest first: what was sent, waits, or could not be sent. Reads only.

The operator's view of all of them is `outbox_health`.
"""

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from sendproof_core.schema import MailRequest, Message, Notice, NoticeItem, Recipient
from sendproof_core.states import NoticeKind, NoticeState

_NAMED = 3


@dataclass(frozen=True)
class NoticeView:
    """One notice. What it names came over a wire: hostile text.

    ``letter``: which of `mail_requests.Letter`, where it is one. ``recipients``: the first of those that it speaks of;
    ``told``: how many things it tells. ``next_try_at``: where it waits. ``reason``: why it was not sent (yet).
    """

    id: int
    kind: NoticeKind
    state: NoticeState
    to_address: str
    created_at: dt.datetime
    sent_at: dt.datetime | None
    next_try_at: dt.datetime | None
    tries: int
    reason: str | None
    message_id: uuid.UUID | None
    subject: str | None
    recipients: tuple[str, ...]
    told: int
    letter: str | None


def list_notices(session: Session, account_id: int, *, limit: int, before: int | None = None) -> tuple[NoticeView, ...]:
    """The account's newest; ``before``: only those before the notice of that id (for the next page)."""
    query = select(Notice, MailRequest.kind).outerjoin(MailRequest, MailRequest.id == Notice.request_id)
    query = query.where(Notice.account_id == account_id)
    if before is not None:
        query = query.where(Notice.id < before)
    rows = session.execute(query.order_by(Notice.id.desc()).limit(limit)).all()
    told = _told(session, [notice.id for notice, _ in rows])
    subjects = _subjects(session, account_id, [notice.message_id for notice, _ in rows if notice.message_id])
    return tuple(_view(notice, letter, *told.get(notice.id, ((), 0)), subjects) for notice, letter in rows)


def count_waiting_for_digest(session: Session, account_id: int) -> int:
    """How many things the account is told with its next digest."""
    waiting = select(func.count()).select_from(NoticeItem)
    return session.scalar(waiting.where(NoticeItem.account_id == account_id, NoticeItem.notice_id.is_(None))) or 0


def _told(session: Session, notice_ids: Sequence[int]) -> dict[int, tuple[tuple[str, ...], int]]:
    """By notice: the first recipients, and how many things it tells."""
    query = (
        select(NoticeItem.notice_id, Recipient.address)
        .outerjoin(Recipient, Recipient.id == NoticeItem.recipient_id)
        .where(NoticeItem.notice_id.in_(notice_ids))
        .order_by(NoticeItem.id)
    )
    named: dict[int, list[str | None]] = {}
    for notice_id, address in session.execute(query):
        named.setdefault(notice_id or 0, []).append(address)
    return {
        notice_id: (tuple(dict.fromkeys(address for address in found if address))[:_NAMED], len(found))
        for notice_id, found in named.items()
    }


def _subjects(session: Session, account_id: int, message_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, str | None]:
    query = select(Message.id, Message.subject).where(Message.id.in_(message_ids), Message.account_id == account_id)
    return {row.id: row.subject for row in session.execute(query)}


def _view(
    notice: Notice,
    letter: str | None,
    recipients: tuple[str, ...],
    told: int,
    subjects: dict[uuid.UUID, str | None],
) -> NoticeView:
    waits = notice.state == NoticeState.WAITING
    # What left the record, or was never the account's, is not linked to.
    message_id = notice.message_id if notice.message_id in subjects else None
    return NoticeView(
        id=notice.id,
        kind=NoticeKind(notice.kind),
        state=NoticeState(notice.state),
        to_address=notice.to_address,
        created_at=notice.created_at,
        sent_at=notice.sent_at,
        next_try_at=notice.next_try_at if waits and notice.tries else None,
        tries=notice.tries,
        reason=notice.last_error,
        message_id=message_id,
        subject=subjects.get(message_id) if message_id else None,
        recipients=recipients,
        told=told,
        letter=letter,
    )
