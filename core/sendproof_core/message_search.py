"""The list of what was sent and what was refused, newest first: everything, or what a `SearchQuery` asks for.

Reads only. Pages are found by where the last one ended, never by counting rows: the thousandth is as quick as the
first. A cursor is for the next or the previous page of the same query. Words are looked up in the index of words
(`search_entries`), and on PostgreSQL everything by its entries (`entry_list`); what the logparser has not put there yet
is looked at as it is. Mail of which only the mail log speaks is not in the list: it is nobody's (`transcript_search`
finds it).
"""

import base64
import binascii
import datetime as dt
import json
import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Select, func, literal, or_, select
from sqlalchemy.orm import Session

from sendproof_core import entry_list, record_ids, search_entries, search_terms, transcript_queries
from sendproof_core.entry_list import EntryList
from sendproof_core.schema import Message, RecordChange, Refusal
from sendproof_core.search_query import SearchQuery
from sendproof_core.search_terms import Document, Wanted
from sendproof_core.transcripts import MessageSummary, RefusalView

# Of what is found, so many are counted: "1,000+".
MOST_COUNTED = 1_000
# Of what is not in the index yet, the newest: there is more only while a large log is read.
_MOST_PENDING = 30


@dataclass(frozen=True)
class Row:
    """A line of the list: a message that was let through, or one that was refused."""

    at: dt.datetime
    message: MessageSummary | None
    refusal: RefusalView | None


@dataclass(frozen=True)
class Page:
    """Some rows, newest first. ``next``, ``previous``: cursors of the older and newer page; None: there is none.

    ``total``: how many rows there are in all; `MOST_COUNTED` stands for that many or more. ``widened``: nothing has
    just these words; these rows have words that begin so.
    """

    rows: tuple[Row, ...]
    next: str | None
    previous: str | None
    total: int
    widened: bool = False


def find(
    session: Session, account_id: int | None, query: SearchQuery, *, limit: int, cursor: str | None = None
) -> Page:
    """A page of what was found.

    ``account_id``: only what is that account's; None: the provider asks, for any.

    Raises:
        ValueError: the cursor is none of ours, or of another query.
    """
    wanted = search_terms.wanted(query)
    if wanted is None:
        return _everything(session, account_id, query, limit, cursor)
    place = _WordPlace.read(cursor) if cursor is not None else None
    if place is not None and place.widened:
        wanted = search_terms.wanted(query, widened=True) or wanted
    page = _with_words(session, account_id, query, wanted, limit, place)
    if page.rows or place is not None:
        return page
    if named := _named(session, account_id, query):
        return Page(named[:limit], None, None, len(named))
    if not search_terms.can_be_widened(query):
        return page
    wanted = search_terms.wanted(query, widened=True) or wanted
    page = _with_words(session, account_id, query, wanted, limit, None, widened=True)
    return page if page.rows else replace(page, widened=False)


def states_of(
    session: Session, account_id: int | None, message_ids: Collection[uuid.UUID]
) -> dict[uuid.UUID, MessageSummary]:
    """How some messages of an account stand now, for a list that is shown already; others are left out."""
    if not message_ids:
        return {}
    # Whose they are is looked at here: SQLite would rather go through all messages of the account.
    rows = session.scalars(select(Message).where(Message.id.in_(list(message_ids))))
    own = [row for row in rows if account_id in (None, row.account_id)]
    found = transcript_queries.summaries(session, own)
    return {summary.id: summary for summary in found if isinstance(summary.id, uuid.UUID)}


def _rows(session: Session, heads: Sequence[Message | Refusal]) -> tuple[Row, ...]:
    messages = transcript_queries.summaries(session, [head for head in heads if isinstance(head, Message)])
    by_id = {summary.id: summary for summary in messages}
    return tuple(
        Row(head.submitted_at, by_id[head.id], None)
        if isinstance(head, Message)
        else Row(head.refused_at, None, transcript_queries.refusal_view(head))
        for head in heads
    )


# --- everything, perhaps of a time ----------------------------------------------------------------------------------

# At one moment messages stand before refusals.
_REFUSAL, _MESSAGE = 0, 1
_Heads = Select[Any]


@dataclass(frozen=True)
class _Place:
    """A row of the list, and which way to go from there."""

    at: dt.datetime
    kind: int
    id: uuid.UUID | int
    is_back: bool

    def write(self) -> str:
        return _write(["t", self.at.isoformat(), self.kind, str(self.id), int(self.is_back)])

    @classmethod
    def read(cls, text: str) -> "_Place":
        match _read(text, "t"):
            case [str(at), (0 | 1) as kind, str(row_id), (0 | 1) as is_back]:
                moment = dt.datetime.fromisoformat(at)
                if moment.tzinfo is None or not 1970 <= moment.year < 9999:
                    raise ValueError("no moment of ours")
                key: uuid.UUID | int = uuid.UUID(row_id) if kind == _MESSAGE else _row_number(row_id)
                return cls(moment, int(kind), key, bool(is_back))
            case _:
                raise ValueError("no place in the list")


def _everything(session: Session, account_id: int | None, query: SearchQuery, limit: int, cursor: str | None) -> Page:
    place = _Place.read(cursor) if cursor is not None else None
    messages = _of_account(select(Message), Message, Message.submitted_at, account_id, query)
    refusals = _of_account(select(Refusal), Refusal, Refusal.refused_at, account_id, query)
    is_back = place is not None and place.is_back
    entries = entry_list.open_list(session, account_id) if session.get_bind().dialect.name == "postgresql" else None
    found = None if entries is None else _beside_by_entries(entries, query, place, limit)
    if found is None:
        found = [
            *_beside(session, messages, Message.submitted_at, Message.id, _MESSAGE, place, limit),
            *_beside(session, refusals, Refusal.refused_at, Refusal.id, _REFUSAL, place, limit),
        ]
    found.sort(key=_order, reverse=not is_back)
    chosen = found[:limit]
    if is_back:
        chosen.reverse()
    has_older, has_newer = _neighbours(len(found) > limit, place is not None, is_back=is_back)
    return Page(
        _rows(session, chosen),
        _Place(*_order(chosen[-1]), is_back=False).write() if chosen and has_older else None,
        _Place(*_order(chosen[0]), is_back=True).write() if chosen and has_newer else None,
        _count(session, (messages, refusals)) if entries is None else _count_by_entries(entries, query),
    )


def _neighbours(has_more: bool, is_beside: bool, *, is_back: bool) -> tuple[bool, bool]:
    """Whether there are older and newer rows than a page's. ``is_beside``: of the page that one came from there are."""
    return (is_beside, has_more) if is_back else (has_more, is_beside)


def _of_account(heads: _Heads, table: Any, at: Any, account_id: int | None, query: SearchQuery) -> _Heads:
    if account_id is not None:
        heads = heads.where(table.account_id == account_id)
    if query.before is not None:
        heads = heads.where(at < query.before)
    return heads if query.after is None else heads.where(at >= query.after)


def _order(head: Message | Refusal) -> tuple[dt.datetime, int, Any]:
    if isinstance(head, Message):
        return head.submitted_at, _MESSAGE, head.id
    return head.refused_at, _REFUSAL, head.id


def _beside(
    session: Session, heads: _Heads, at: Any, row_id: Any, kind: int, place: _Place | None, limit: int
) -> Sequence[Message | Refusal]:
    if place is None:
        return session.scalars(heads.order_by(at.desc(), row_id.desc()).limit(limit + 1)).all()
    is_own = place.kind == kind
    if place.is_back:
        beside = row_id > place.id if is_own else literal(kind > place.kind)
        heads = heads.where(at >= place.at, or_(at > place.at, beside)).order_by(at, row_id)
    else:
        beside = row_id < place.id if is_own else literal(kind < place.kind)
        heads = heads.where(at <= place.at, or_(at < place.at, beside)).order_by(at.desc(), row_id.desc())
    return session.scalars(heads.limit(limit + 1)).all()


def _beside_by_entries(
    entries: EntryList, query: SearchQuery, place: _Place | None, limit: int
) -> list[Message | Refusal] | None:
    """What `_beside` finds of both kinds; None: the entries do not say."""
    after, until = query.after, query.before
    if place is not None and place.is_back:
        after = place.at if after is None else max(after, place.at)
    elif place is not None:
        until = place.at if until is None else min(until, place.at)

    def is_wanted(head: Message | Refusal) -> bool:
        if place is None:
            return _is_listed(head, entries.account_id, query)
        own, there = _order(head), (place.at, place.kind, place.id)
        return (own > there if place.is_back else own < there) and _is_listed(head, entries.account_id, query)

    return entries.heads(after, until, is_wanted, limit + 1, oldest_first=place is not None and place.is_back)


def _count_by_entries(entries: EntryList, query: SearchQuery) -> int:
    return entries.count(
        query.after, query.before, lambda head: _is_listed(head, entries.account_id, query), MOST_COUNTED
    )


def _is_listed(head: Message | Refusal, account_id: int | None, query: SearchQuery) -> bool:
    at = entry_list.moment(head)
    return (
        account_id in (None, head.account_id)
        and (query.before is None or at < query.before)
        and (query.after is None or at >= query.after)
    )


def _count(session: Session, each: Iterable[_Heads]) -> int:
    total = 0
    for heads in each:
        some = heads.with_only_columns(literal(1), maintain_column_froms=True).limit(MOST_COUNTED).subquery()
        total += session.scalar(select(func.count()).select_from(some)) or 0
    return min(total, MOST_COUNTED)


# --- what has some words --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _WordPlace:
    """An entry's number, and which way to go from there."""

    number: int
    is_back: bool
    widened: bool

    def write(self) -> str:
        return _write(["w", self.number, int(self.is_back), int(self.widened)])

    @classmethod
    def read(cls, text: str) -> "_WordPlace":
        match _read(text, "w"):
            case [int(number), (0 | 1) as is_back, (0 | 1) as widened]:
                return cls(_row_number(number), bool(is_back), bool(widened))
            case _:
                raise ValueError("no place in the list")


@dataclass(frozen=True)
class _Pending:
    """What is not in the index as it is now. ``fitting``: those with the words, by number; ``stale``: all of them."""

    fitting: dict[int, Message | Refusal]
    stale: frozenset[int]


def _with_words(
    session: Session,
    account_id: int | None,
    query: SearchQuery,
    wanted: Wanted,
    limit: int,
    place: _WordPlace | None,
    *,
    widened: bool = False,
) -> Page:
    widened = widened or (place is not None and place.widened)
    is_back = place is not None and place.is_back
    first, last = _bounds(query, None)
    pending = _pending(session, account_id, wanted, first, last)
    counted = set(search_entries.matching(session, wanted, account_id, first=first, last=last, limit=MOST_COUNTED))
    total = min(len((counted - pending.stale) | pending.fitting.keys()), MOST_COUNTED)
    first, last = _bounds(query, place)
    more = limit + 1 + len(pending.stale)
    found = set(
        search_entries.matching(session, wanted, account_id, first=first, last=last, limit=more, oldest_first=is_back)
    )
    fresh = {
        number for number in pending.fitting if (first is None or number >= first) and (last is None or number <= last)
    }
    numbers = sorted((found - pending.stale) | fresh, reverse=not is_back)
    chosen = sorted(numbers[:limit], reverse=True)
    has_older, has_newer = _neighbours(len(numbers) > limit, place is not None, is_back=is_back)
    return Page(
        _rows(session, _heads(session, account_id, chosen, pending.fitting)),
        _WordPlace(chosen[-1], is_back=False, widened=widened).write() if chosen and has_older else None,
        _WordPlace(chosen[0], is_back=True, widened=widened).write() if chosen and has_newer else None,
        total,
        widened,
    )


def _bounds(query: SearchQuery, place: _WordPlace | None) -> tuple[int | None, int | None]:
    """The lowest and the highest number that may be shown."""
    first = None if query.after is None else search_entries.first_number(query.after)
    last = None if query.before is None else search_entries.first_number(query.before) - 1
    if place is not None and place.is_back:
        first = max(first or 0, place.number + 1)
    elif place is not None:
        last = place.number - 1 if last is None else min(last, place.number - 1)
    return first, last


def _heads(
    session: Session, account_id: int | None, numbers: Sequence[int], known: dict[int, Message | Refusal]
) -> list[Message | Refusal]:
    """In the order of ``numbers``."""
    loaded = entry_list.load(session, set(numbers) - known.keys())
    # A refusal may have given way to a better one; and whose it is, its row says.
    heads = known | {number: head for number, head in loaded.items() if account_id in (None, head.account_id)}
    return [heads[number] for number in numbers if number in heads]


def _pending(session: Session, account_id: int | None, wanted: Wanted, first: int | None, last: int | None) -> _Pending:
    changes = session.scalars(select(RecordChange).order_by(RecordChange.id.desc()).limit(_MOST_PENDING)).all()
    message_ids = {change.message_id for change in changes if change.message_id is not None}
    file_ids = {change.queue_file_id for change in changes if change.queue_file_id is not None}
    message_ids |= transcript_queries.messages_of(session, file_ids)
    refusal_ids = {change.refusal_id for change in changes if change.refusal_id is not None}
    found: list[tuple[Message | Refusal, int, Document]] = []
    for outline in transcript_queries.load_outlines(session, message_ids) if message_ids else ():
        message = session.get_one(Message, outline.message.id)
        number = search_entries.number(message.submitted_at, message.id)
        found.append((message, number, search_entries.document_of(outline)))
    for refusal in session.scalars(select(Refusal).where(record_ids.is_refusal(refusal_ids))) if refusal_ids else ():
        number = search_entries.number(refusal.refused_at, refusal.id)
        found.append((refusal, number, search_entries.document_of_refusal(refusal)))
    indexed = entry_list.indexed(session, message_ids, refusal_ids)
    fitting: dict[int, Message | Refusal] = {}
    for row, free, document in found:
        number = indexed.get(row.id, free)
        is_in_time = (first is None or number >= first) and (last is None or number <= last)
        if is_in_time and account_id in (None, row.account_id) and wanted.fits(document):
            fitting[number] = row
    return _Pending(fitting, frozenset(indexed.values()))


def _named(session: Session, account_id: int | None, query: SearchQuery) -> tuple[Row, ...]:
    """What has just that name, if a name is all that is asked for: the record knows it before the index does."""
    names = [*query.ids, *(phrase.text for phrase in query.words if not phrase.is_prefix)]
    others = query.to or query.sender or query.subject or query.reply or query.statuses
    if len(names) != 1 or others:
        return ()
    found = transcript_queries.find(session, names[0], account_id=account_id)
    ids = [namesake.id for namesake in found if isinstance(namesake.id, uuid.UUID)]
    if not ids:
        return ()
    rows = session.scalars(select(Message).where(Message.id.in_(ids)).order_by(Message.submitted_at.desc()))
    in_time = [
        row
        for row in rows
        if (query.before is None or row.submitted_at < query.before)
        and (query.after is None or row.submitted_at >= query.after)
    ]
    return _rows(session, in_time)


# --- cursors --------------------------------------------------------------------------------------------------------

_HIGHEST = (1 << 63) - 1


def _row_number(value: int | str) -> int:
    number = int(value)
    if not 0 <= number <= _HIGHEST:
        raise ValueError("no number of a row")
    return number


def _write(plain: list[Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(plain).encode()).decode().rstrip("=")


def _read(text: str, kind: str) -> list[Any]:
    """What `_write` was given, or what a visitor has made of it."""
    try:
        plain = json.loads(base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4)))
    except (ValueError, RecursionError, binascii.Error) as error:
        raise ValueError("no cursor of this list") from error
    if not isinstance(plain, list) or plain[:1] != [kind]:
        raise ValueError("no cursor of this list")
    return plain[1:]
