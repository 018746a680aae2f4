"""Search the record for messages: by words, by who wrote to whom, by state, by time. Reads only.

Words are looked for as they are, capitals or not (SQLite knows capitals of ASCII letters only), and each must occur
somewhere. What a search finds is shown by `transcript_queries.summaries`.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, or_, select
from sqlalchemy.orm import Session

from sendproof_core import transcript_queries
from sendproof_core.schema import Message, QueueFile, Recipient
from sendproof_core.states import RecipientState
from sendproof_core.transcripts import MessageSummary

# How many messages are looked at, at most, in a search by state: it is known only once a message's chain is followed.
_LOOKED_AT = 20_000
_AT_A_TIME = 200


@dataclass(frozen=True)
class Wanted:
    """What to look for; everything that is given must hold. ``to`` and ``sender``: parts of addresses."""

    words: tuple[str, ...] = ()
    to: str | None = None
    sender: str | None = None
    subject: str | None = None
    state: RecipientState | None = None
    before: dt.datetime | None = None
    after: dt.datetime | None = None


def search(
    session: Session, wanted: Wanted, *, limit: int, account_id: int | None = None
) -> tuple[MessageSummary, ...]:
    """What fits, newest first, ``limit`` at most. ``account_id``: only that account's messages; None: any."""
    query = _query(session, wanted, account_id).order_by(Message.submitted_at.desc(), Message.id.desc())
    if wanted.state is None:
        return transcript_queries.summaries(session, session.scalars(query.limit(limit)).all())
    found: list[MessageSummary] = []
    for begin in range(0, _LOOKED_AT, _AT_A_TIME):
        messages = session.scalars(query.offset(begin).limit(_AT_A_TIME)).all()
        shown = transcript_queries.summaries(session, messages)
        found += [line for line in shown if any(state is wanted.state for _, state in line.recipients)]
        if len(found) >= limit or len(messages) < _AT_A_TIME:
            break
    return tuple(found[:limit])


def _query(session: Session, wanted: Wanted, account_id: int | None) -> Select[Message]:
    conditions: list[ColumnElement[bool]] = [_somewhere(session, word, account_id) for word in wanted.words]
    if account_id is not None:
        conditions.append(Message.account_id == account_id)
    if wanted.to is not None:
        conditions.append(_has_recipient(wanted.to))
    if wanted.sender is not None:
        sender = wanted.sender
        conditions.append(
            or_(*(column.icontains(sender, autoescape=True) for column in (Message.envelope_sender, Message.login)))
        )
    if wanted.subject is not None:
        conditions.append(Message.subject.icontains(wanted.subject, autoescape=True))
    if wanted.before is not None:
        conditions.append(Message.submitted_at < wanted.before)
    if wanted.after is not None:
        conditions.append(Message.submitted_at >= wanted.after)
    return select(Message).where(*conditions)


def _somewhere(session: Session, word: str, account_id: int | None) -> ColumnElement[bool]:
    columns = (Message.subject, Message.envelope_sender, Message.login, Message.message_id_header)
    places: Sequence[ColumnElement[bool]] = [column.icontains(word, autoescape=True) for column in columns]
    named = transcript_queries.find_message(session, word, account_id)
    return or_(*places, _has_recipient(word), *([Message.id == named] if named else []))


def _has_recipient(part: str) -> ColumnElement[bool]:
    """Of the queue files that the journal names, or of one that comes straight from them."""
    addresses = or_(
        Recipient.address.icontains(part, autoescape=True), Recipient.final_address.icontains(part, autoescape=True)
    )
    return Message.id.in_(
        select(QueueFile.message_id)
        .join(Recipient, Recipient.queue_file_id == QueueFile.id)
        .where(QueueFile.message_id.is_not(None), addresses)
    )
