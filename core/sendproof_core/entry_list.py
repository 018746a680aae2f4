"""The newest messages and refusals by the entries of the search, which are in order of time. Reads only.

For PostgreSQL: the record lies in partitions of days, and a query for the newest rows of an account, which can name no
day, looks into them all; the entries lie together, and their rows are then found by id. What is derived late (the notes
in ``record_changes``) is looked at as well, so nothing is missed; where that is much, this knows no answer, and the
caller asks the record itself. Who may see what, and the order of the list, are `message_search`'s matter.
"""

import datetime as dt
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from sendproof_core import record_ids, search_entries
from sendproof_core.schema import Message, RecordChange, Refusal, SearchEntry
from sendproof_core.search_terms import Wanted

Head = Message | Refusal
# More notes than that: a large log is being read.
_MOST_LATE = 200
# An entry may be there for a moment longer than its row.
_SPARE = 10
_MILLISECOND = dt.timedelta(milliseconds=1)


@dataclass(frozen=True)
class EntryList:
    """All entries of an account (None: of everybody), and the rows that the notes speak of (`late`)."""

    session: Session
    account_id: int | None
    late: tuple[Head, ...]
    # Numbers of entries that the notes speak of: their rows may be gone.
    late_numbers: frozenset[int]

    def heads(
        self,
        after: dt.datetime | None,
        until: dt.datetime | None,
        is_wanted: Callable[[Head], bool],
        limit: int,
        *,
        oldest_first: bool,
    ) -> list[Head] | None:
        """The newest (or oldest) that are wanted, at least ``limit`` unless there are fewer; in no order.

        ``after``, ``until``: nothing beyond them is wanted. None: it cannot be told from the entries.
        """
        most = limit + len(self.late_numbers) + _SPARE
        first = None if after is None else search_entries.first_number(_whole(after))
        last = None if until is None else search_entries.first_number(_whole(until) + _MILLISECOND) - 1
        numbers = self._numbers(first, last, most, oldest_first=oldest_first)
        found = {(type(head), head.id): head for head in (*load(self.session, numbers).values(), *self.late)}
        heads = [head for head in found.values() if is_wanted(head)]
        if len(numbers) < most:
            return heads
        # Of the last one's millisecond there may be more.
        edge = search_entries.moment(numbers[-1])
        heads = [
            head for head in heads if (_whole(moment(head)) < edge if oldest_first else _whole(moment(head)) > edge)
        ]
        return heads if len(heads) >= limit else None

    def count(
        self, after: dt.datetime | None, before: dt.datetime | None, is_wanted: Callable[[Head], bool], most: int
    ) -> int:
        """How many there are; ``most``: that many or more."""
        first = None if after is None else search_entries.first_number(after)
        last = None if before is None else search_entries.first_number(before) - 1
        numbers = set(self._numbers(first, last, most + len(self.late_numbers)))
        return min(len(numbers - self.late_numbers) + sum(is_wanted(head) for head in self.late), most)

    def _numbers(self, first: int | None, last: int | None, limit: int, *, oldest_first: bool = False) -> Sequence[int]:
        if self.account_id is not None:
            return search_entries.matching(
                self.session,
                Wanted(()),
                self.account_id,
                first=first,
                last=last,
                limit=limit,
                oldest_first=oldest_first,
            )
        query = select(SearchEntry.id).order_by(SearchEntry.id if oldest_first else SearchEntry.id.desc()).limit(limit)
        if first is not None:
            query = query.where(SearchEntry.id >= first)
        return self.session.scalars(query if last is None else query.where(SearchEntry.id <= last)).all()


def open_list(session: Session, account_id: int | None) -> EntryList | None:
    """The list as it is now; None: too much is not derived yet."""
    # The notes first: what is derived in between has an entry then.
    notes = session.execute(
        select(RecordChange.message_id, RecordChange.refusal_id)
        .where(or_(RecordChange.message_id.is_not(None), RecordChange.refusal_id.is_not(None)))
        .limit(_MOST_LATE + 1)
    ).all()
    if len(notes) > _MOST_LATE:
        return None
    message_ids = {message_id for message_id, _ in notes if message_id is not None}
    refusal_ids = {refusal_id for _, refusal_id in notes if refusal_id is not None}
    numbers = indexed(session, message_ids, refusal_ids).values()
    late = tuple(_rows(session, message_ids, refusal_ids))
    return EntryList(session, account_id, late, frozenset(numbers))


def load(session: Session, numbers: Collection[int]) -> dict[int, Head]:
    """What these entries are of; those whose row is gone are left out."""
    if not numbers:
        return {}
    entries = session.scalars(select(SearchEntry).where(SearchEntry.id.in_(list(numbers)))).all()
    message_ids = [entry.message_id for entry in entries if entry.message_id is not None]
    refusal_ids = [entry.refusal_id for entry in entries if entry.refusal_id is not None]
    rows: dict[uuid.UUID | int | None, Head] = {row.id: row for row in _rows(session, message_ids, refusal_ids)}
    found = ((entry.id, rows.get(entry.message_id or entry.refusal_id)) for entry in entries)
    return {number: row for number, row in found if row is not None}


def indexed(
    session: Session, message_ids: Collection[uuid.UUID], refusal_ids: Collection[int]
) -> dict[uuid.UUID | int, int]:
    """The numbers that they have already."""
    found: dict[uuid.UUID | int, int] = {}
    if message_ids:
        of_messages = select(SearchEntry.message_id, SearchEntry.id).where(SearchEntry.message_id.in_(message_ids))
        found.update({key: number for key, number in session.execute(of_messages) if key is not None})
    if refusal_ids:
        of_refusals = select(SearchEntry.refusal_id, SearchEntry.id).where(SearchEntry.refusal_id.in_(refusal_ids))
        found.update({key: number for key, number in session.execute(of_refusals) if key is not None})
    return found


def moment(head: Head) -> dt.datetime:
    """When it was."""
    return head.submitted_at if isinstance(head, Message) else head.refused_at


def _rows(session: Session, message_ids: Collection[uuid.UUID], refusal_ids: Collection[int]) -> Iterable[Head]:
    if message_ids:
        yield from session.scalars(select(Message).where(Message.id.in_(message_ids)))
    if refusal_ids:
        yield from session.scalars(select(Refusal).where(record_ids.is_refusal(refusal_ids)))


def _whole(at: dt.datetime) -> dt.datetime:
    """Its millisecond: entries know no less."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000)
