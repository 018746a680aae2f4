"""The words of messages and refusals in the database: what makes them, and which entries have them. Reads only.

An entry's number grows with its time, so that the newest entries with some words are found without sorting: SQLite
keeps the numbers of each word in order, PostgreSQL chooses between its index of words and that of numbers. The
logparser writes entries (`sendproof_logparser.search_index`), a moment behind the record.
"""

import datetime as dt
import uuid
from collections.abc import Sequence

from sqlalchemy import bindparam, text
from sqlalchemy.orm import Session

from sendproof_core.schema import Refusal
from sendproof_core.search_query import OPENED, REFUSED
from sendproof_core.search_terms import Document, Field, Wanted
from sendproof_core.transcripts import Outline

# Of milliseconds; below them, what parts the entries of one.
_SHIFT = 20
_BELOW = (1 << _SHIFT) - 1
_MILLISECOND = dt.timedelta(milliseconds=1)
_LAST_MILLISECOND = (1 << 63 - _SHIFT) - 1  # in the year 2248
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
# Of one recipient, the newest: a mail that is put off for days repeats itself.
_REPLIES_EACH = 10


def number(at: dt.datetime, key: uuid.UUID | int) -> int:
    """Of an entry; if another one has it, the next that is free. ``key``: the message's or refusal's id."""
    return _milliseconds(at) << _SHIFT | (int(key) & _BELOW)


def first_number(at: dt.datetime) -> int:
    """The lowest that an entry of this moment or later can have."""
    return _within(-(-(at - _EPOCH) // _MILLISECOND)) << _SHIFT


def moment(entry: int) -> dt.datetime:
    """The millisecond that a number is of; a clock that was wrong by centuries is cut off."""
    return _EPOCH + (entry >> _SHIFT) * _MILLISECOND


def _milliseconds(at: dt.datetime) -> int:
    return _within((at - _EPOCH) // _MILLISECOND)


def _within(milliseconds: int) -> int:
    """What eight octets hold: a clock may be wrong by centuries."""
    return min(max(milliseconds, 0), _LAST_MILLISECOND)


def document_of(outline: Outline) -> Document:
    """What a message is found by."""
    message, document = outline.message, Document()
    document.add_account(message.account_id)
    statuses = {recipient.state.value for recipient in outline.recipients}
    document.add_statuses(statuses | ({OPENED} if outline.opened else set()))
    document.add_text(Field.SUBJECT, message.subject)
    document.add_addresses(Field.SENDER, (message.envelope_sender or "",))
    addresses = [
        address
        for recipient in outline.recipients
        for address in (recipient.address, recipient.final_address)
        if address is not None
    ]
    document.add_addresses(Field.RECIPIENT, addresses)
    attempts = [attempt for recipient in outline.recipients for attempt in recipient.attempts[-_REPLIES_EACH:]]
    names = [str(message.id), message.message_id_header, *outline.queue_ids]
    document.add_names([*names, *(attempt.remote_queue_id for attempt in attempts)])
    for reply in dict.fromkeys(part for attempt in attempts for part in (attempt.relay, attempt.reply)):
        document.add_text(Field.REPLY, reply)
    return document


def document_of_refusal(row: Refusal) -> Document:
    """What a refusal is found by."""
    document = Document()
    document.add_account(row.account_id)
    document.add_statuses((REFUSED,))
    document.add_text(Field.SUBJECT, row.subject)
    document.add_addresses(Field.SENDER, (row.envelope_sender,))
    document.add_addresses(Field.RECIPIENT, (str(address) for address in row.recipients))
    document.add_names((row.queue_id,))
    document.add_text(Field.REPLY, row.reply)
    return document


def matching(
    session: Session,
    wanted: Wanted,
    account_id: int | None,
    *,
    first: int | None,
    last: int | None,
    limit: int,
    oldest_first: bool = False,
) -> Sequence[int]:
    """Numbers of entries with these words, newest first. ``first``, ``last``: both included; None: unbounded."""
    # The account is a word among the others: both databases go through the words' numbers together.
    if account_id is not None:
        wanted = wanted.of_account(account_id)
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    number_column = "rowid" if is_sqlite else "entry_id"
    conditions = ["search_words MATCH :words" if is_sqlite else "words @@ CAST(:words AS tsquery)"]
    values: dict[str, object] = {"words": wanted.for_sqlite() if is_sqlite else wanted.for_postgresql()}
    for name, sign, bound in (("first", ">=", first), ("last", "<=", last)):
        if bound is not None:
            conditions.append(f"{number_column} {sign} :{name}")
            values[name] = bound
    order = "" if oldest_first else " DESC"
    statement = text(
        f"SELECT {number_column} FROM search_words WHERE {' AND '.join(conditions)}"  # noqa: S608 - our own names
        f" ORDER BY {number_column}{order} LIMIT :limit"
    ).bindparams(bindparam("limit", limit))
    return session.scalars(statement, values).all()
