"""Search the record for messages: by words, by who wrote to whom, by state, by time. Reads only.

Words are looked for as they are, capitals or not (SQLite knows capitals of ASCII letters only), and each must occur
somewhere. What a search finds is shown by `transcript_queries.summaries`.
"""

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, Uuid, exists, false, null, or_, select, union_all
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from sendproof_core import transcript_queries
from sendproof_core.links import CONTINUES
from sendproof_core.queue_file_parents import is_parent
from sendproof_core.schema import BigId, Message, QueueFile, Recipient
from sendproof_core.states import RecipientState
from sendproof_core.transcripts import MessageSummary, RecordId

_Column = InstrumentedAttribute[Any]

# How much mail is looked at, at most, in a search by state: it is known only once a message's chain is followed.
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
    """What fits, newest first, ``limit`` at most.

    ``account_id``: only that account's messages; None: any, and mail of which only the mail log speaks (but for
    notifications: they are about mail).
    """
    query = _query(session, wanted, account_id)
    if wanted.state is None:
        return transcript_queries.summaries(session, _heads(session, query.limit(limit)))
    found: list[MessageSummary] = []
    for begin in range(0, _LOOKED_AT, _AT_A_TIME):
        heads = _heads(session, query.offset(begin).limit(_AT_A_TIME))
        shown = transcript_queries.summaries(session, heads)
        found += [line for line in shown if any(state is wanted.state for _, state in line.recipients)]
        if len(found) >= limit or len(heads) < _AT_A_TIME:
            break
    return tuple(found[:limit])


# Ids of messages, and of first queue files without one: each row has one of the two.
_Ids = Select[*tuple[Any, ...]]


def _heads(session: Session, query: _Ids) -> list[Message | QueueFile]:
    ids: list[RecordId] = [row.message_id or row.file_id for row in session.execute(query)]
    messages = select(Message).where(Message.id.in_([one for one in ids if isinstance(one, uuid.UUID)]))
    files = select(QueueFile).where(QueueFile.id.in_([one for one in ids if isinstance(one, int)]))
    heads: dict[RecordId, Message | QueueFile] = {message.id: message for message in session.scalars(messages)}
    heads.update({file.id: file for file in session.scalars(files)})
    return [heads[one] for one in ids]


def _query(session: Session, wanted: Wanted, account_id: int | None) -> _Ids:
    named = [
        {namesake.id for namesake in transcript_queries.find(session, word, account_id=account_id)}
        for word in wanted.words
    ]
    messages = _messages(wanted, named)
    if account_id is None:
        found = union_all(messages, _first_files(wanted, named)).subquery()
    else:
        found = messages.where(Message.account_id == account_id).subquery()
    newest = (found.c.at.desc(), found.c.message_id.desc(), found.c.file_id.desc())
    return select(found.c.message_id, found.c.file_id).order_by(*newest)


def _messages(wanted: Wanted, named: list[set[RecordId]]) -> _Ids:
    holding = select(QueueFile.message_id).join(Recipient, Recipient.queue_file_id == QueueFile.id)
    holding = holding.where(QueueFile.message_id.is_not(None))
    texts = (Message.envelope_sender, Message.login, Message.message_id_header, Message.subject)
    ids = [[one for one in of_word if isinstance(one, uuid.UUID)] for of_word in named]
    conditions = _fits(wanted, [Message.id.in_(of_word) for of_word in ids], texts, Message.id, holding)
    conditions += _in_time(wanted, Message.submitted_at)
    if wanted.subject is not None:
        conditions.append(Message.subject.icontains(wanted.subject, autoescape=True))
    found: _Ids = select(
        Message.id.label("message_id"), null().cast(BigId).label("file_id"), Message.submitted_at.label("at")
    )
    return found.where(*conditions)


def _first_files(wanted: Wanted, named: list[set[RecordId]]) -> _Ids:
    """Of mail of which only the mail log speaks; nothing says its subject."""
    parent = aliased(QueueFile)
    is_first = (
        QueueFile.message_id.is_(None),
        or_(QueueFile.link_kind.is_(None), QueueFile.link_kind.in_(sorted(CONTINUES))),
        ~exists().where(is_parent(parent, QueueFile)),
    )
    texts = (QueueFile.envelope_sender, QueueFile.login, QueueFile.message_id_header)
    ids = [[one for one in of_word if isinstance(one, int)] for of_word in named]
    its_names = [QueueFile.id.in_(of_word) for of_word in ids]
    conditions = _fits(wanted, its_names, texts, QueueFile.id, select(Recipient.queue_file_id))
    conditions += _in_time(wanted, QueueFile.born_at)
    if wanted.subject is not None:
        conditions.append(false())
    found: _Ids = select(
        null().cast(Uuid).label("message_id"), QueueFile.id.label("file_id"), QueueFile.born_at.label("at")
    )
    return found.where(*is_first, *conditions)


def _fits(
    wanted: Wanted,
    is_named: Sequence[ColumnElement[bool]],
    texts: Sequence[_Column],
    its_id: _Column,
    holding: Select[Any],
) -> list[ColumnElement[bool]]:
    """The conditions that messages and queue files share.

    ``is_named``: for each word, that it is a name. ``texts``: the sender's address and login, then what else a word
    may occur in. ``holding``: the ids, as ``its_id``, of those that recipients belong to.
    """

    def has_recipient(part: str) -> ColumnElement[bool]:
        addresses = (Recipient.address, Recipient.final_address)
        return its_id.in_(holding.where(or_(*(column.icontains(part, autoescape=True) for column in addresses))))

    conditions: list[ColumnElement[bool]] = []
    for word, by_name in zip(wanted.words, is_named, strict=True):
        in_texts = (column.icontains(word, autoescape=True) for column in texts)
        conditions.append(or_(*in_texts, has_recipient(word), by_name))
    if wanted.to is not None:
        conditions.append(has_recipient(wanted.to))
    if wanted.sender is not None:
        sender = wanted.sender
        conditions.append(or_(*(column.icontains(sender, autoescape=True) for column in texts[:2])))
    return conditions


def _in_time(wanted: Wanted, at: _Column) -> list[ColumnElement[bool]]:
    before = [at < wanted.before] if wanted.before is not None else []
    return before + ([at >= wanted.after] if wanted.after is not None else [])
